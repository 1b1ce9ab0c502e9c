"""`DistributionLayer`: what all layers have in common whose inputs are a distribution's parameters."""

import math

import keras
import tensorflow as tf

# Added to every scale, as `tfp.layers.MultivariateNormalTriL` adds it: without it log_prob overflows float32 where a
# network's output of -50 makes a scale of 2e-22.
SMALLEST_SCALE = 1e-5

_CONVERSIONS = ("sample", "mean", "mode", "params")


def probability():
    """The module `tensorflow_probability`, imported late: the other layers do without it."""
    try:
        import tensorflow_probability
    except ImportError as error:
        raise ImportError(
            "Distributions need TensorFlow Probability. Install it with: pip install 'ikelos[probability]'"
        ) from error
    return tensorflow_probability


def event_size(event_shape):
    """The number of values in an event, whose shape may be given as an int."""
    return math.prod(shape_tuple(event_shape))


def shape_tuple(event_shape):
    """An event's shape, or size, as a tuple of ints."""
    shape = (event_shape,) if isinstance(event_shape, int) else tuple(event_shape)
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(f"`event_shape` must be positive integers. Received: event_shape={event_shape}")
    return shape


def check_positive(**arguments):
    """Raises an error that names the argument unless all are positive integers."""
    for name, value in arguments.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value}")


def scale_of(params):
    """Positive scales for unbounded parameters, as tfp.layers has them: softplus."""
    return tf.math.softplus(params) + SMALLEST_SCALE


class DistributionLayer(keras.layers.Layer):
    """Base of the layers that take a distribution's parameters and return a tensor.

    A subclass has a static `params_size(...)` and `_distribution(params)`, and gives this constructor the shape of
    an event and the number of parameters.

    Parameters are `[...,params_size]`, as in tfp.layers. Where a subclass parts them by value (`_split`) they may
    also be maps of the event's own shape, but for more channels, as a convolution gives them: `[...,28,28,2]` for
    a normal distribution of events `[28,28,1]`.

    All is computed in float32 under half-precision policies: bfloat16 has no more than 8 bits for a log_prob in the
    hundreds of nats.

    Args:
        event_shape: Shape of one event.
        num_params: Number of parameters of one event.
        convert_to_tensor_fn: What `call` returns: "sample", "mean" or "mode", in the policy's compute dtype, or
            "params", the parameters in float32.
        seed: Seed of the samples.
    """

    def __init__(self, event_shape, num_params, convert_to_tensor_fn="sample", seed=None, **kwargs):
        probability()
        # Parameters that come in float32 shall not be rounded to the compute dtype.
        super().__init__(autocast=False, **kwargs)
        if convert_to_tensor_fn not in _CONVERSIONS:
            raise ValueError(
                f"`convert_to_tensor_fn` must be one of {_CONVERSIONS}. "
                f"Received: convert_to_tensor_fn={convert_to_tensor_fn!r}"
            )
        self.event_shape = shape_tuple(event_shape)
        self.num_params = num_params
        self.convert_to_tensor_fn = convert_to_tensor_fn
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # there are no weights

    @property
    def value_dtype(self):
        """The dtype of samples."""
        return self.compute_dtype

    @property
    def params_dtype(self):
        """The dtype that parameters and all that is computed of them have."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def distribution(self, params):
        """The `tfd.Distribution` with these parameters, `[...,params_size]`; its batch shape is `[...]`."""
        params = tf.cast(params, self.params_dtype)
        self._batch_shape(params.shape)
        return self._distribution(params)

    def next_seed(self):
        """The next seed for a method of a `tfd.Distribution`, int32 `[2]`."""
        # Keras has it as int64, which TensorFlow Probability takes for something else.
        return tf.cast(self.seed_generator.next(), tf.int32)

    def call(self, inputs):
        """What `convert_to_tensor_fn` names, of the distribution with the parameters `inputs`."""
        distribution = self.distribution(inputs)
        if self.convert_to_tensor_fn == "params":
            return tf.cast(inputs, self.params_dtype)
        if self.convert_to_tensor_fn == "sample":
            values = distribution.sample(seed=self.next_seed())
        else:
            values = getattr(distribution, self.convert_to_tensor_fn)()
        return tf.cast(values, self.value_dtype)

    def compute_output_shape(self, input_shape):
        """`[...,*event_shape]`; with "params" the inputs' shape."""
        batch_shape = self._batch_shape(input_shape)
        return tuple(input_shape) if self.convert_to_tensor_fn == "params" else (*batch_shape, *self.event_shape)

    def compute_output_spec(self, inputs):
        """The output's shape and dtype."""
        dtype = self.params_dtype if self.convert_to_tensor_fn == "params" else self.value_dtype
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    def get_config(self):
        """The constructor's arguments that all subclasses have."""
        return {**super().get_config(), "convert_to_tensor_fn": self.convert_to_tensor_fn, "seed": self.seed}

    def _distribution(self, params):
        raise NotImplementedError

    def _map_shape(self):
        """The shape of parameters as maps; None where they can only be flat."""
        if len(self.event_shape) < 2:
            return None
        *spatial, channels = self.event_shape
        return (*spatial, channels * self.num_params // event_size(self.event_shape))

    def _are_maps(self, params_shape):
        maps = self._map_shape()
        return maps is not None and tuple(params_shape[-len(maps) :]) == maps

    def _batch_shape(self, params_shape):
        if self._are_maps(params_shape):
            return tuple(params_shape[: -len(self.event_shape)])
        if len(params_shape) == 0 or params_shape[-1] != self.num_params:
            maps = self._map_shape()
            raise ValueError(
                f"The parameters must have the shape [...,{self.num_params}]"
                + (f" or [...,{','.join(map(str, maps))}]" if maps else "")
                + f". Received: inputs.shape={tuple(params_shape)}"
            )
        return tuple(params_shape[:-1])

    def _split(self, params, number, each=()):
        """Parts parameters in `number` tensors `[...,*event_shape,*each]`."""
        batch = tf.shape(params)[: -len(self.event_shape)] if self._are_maps(params.shape) else tf.shape(params)[:-1]
        shape = tf.concat([batch, tf.constant([*self.event_shape, *each], tf.int32)], axis=0)
        return [tf.reshape(part, shape) for part in tf.split(params, number, axis=-1)]

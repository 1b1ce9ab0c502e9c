"""`DistributionLayer`: the base class of all layers whose inputs are the parameters of a distribution."""

import math
import os
import sys

import keras
import tensorflow as tf

from ikelos.layers.distributions.support import REAL, checked, real_numbers
from ikelos.layers.options import is_integer

# Added to every scale, as in `tfp.layers.MultivariateNormalTriL`. Without it, log_prob overflows float32 where an
# output of -50 makes a scale of 2e-22.
SMALLEST_SCALE = 1e-5


def probability():
    """Returns the module `tensorflow_probability`, imported late because the other layers do not need it.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
    """
    try:
        is_legacy = os.environ.get("TF_USE_LEGACY_KERAS") in ("true", "True", "1")
        if is_legacy and "tensorflow_probability" not in sys.modules:
            # TensorFlow Transform sets the variable. TFP then imports this module, which TensorFlow only has as an
            # attribute.
            import tf_keras

            sys.modules.setdefault("tensorflow.compat.v2.keras", tf_keras)
        import tensorflow_probability
    except ImportError as error:
        raise ImportError(
            "Distributions need TensorFlow Probability: install Ikelos with the extra `probability`, "
            "in a clone by: pip install '.[probability]'"
        ) from error
    return tensorflow_probability


def event_size(event_shape):
    """Returns the number of values in an event.

    Raises:
        ValueError: If `event_shape` is neither a positive integer nor a sequence of them.
    """
    return math.prod(shape_tuple(event_shape))


def shape_tuple(shape, name="event_shape"):
    """Returns a shape as a tuple of ints; an int is the size of a vector.

    `name` is the name of the argument, for the error.

    Raises:
        ValueError: If `shape` is neither a positive integer nor a sequence of them.
    """
    sizes = (shape,) if is_integer(shape) else shape
    if not (isinstance(sizes, tuple | list | tf.TensorShape) and all(is_integer(n) and n > 0 for n in sizes)):
        raise ValueError(f"`{name}` must be positive integers. Received: {name}={shape!r}")
    return tuple(int(size) for size in sizes)


def scale_of(params):
    """Returns positive scales for unbounded parameters: softplus, as in `tfp.layers`, plus 1e-5."""
    return tf.math.softplus(params) + SMALLEST_SCALE


class DistributionLayer(keras.layers.Layer):
    """Base of the layers that turn the parameters of a distribution into a tensor.

    A subclass has `params_size(...)`, a static or class method, and `make_distribution(params)`. It passes the shape of
    an event and the number of parameters to this constructor. It also has `support` if not all finite numbers are
    possible values, and `conversions` if not all conversions are defined.

    Parameters have the shape `[...,params_size]`, as in `tfp.layers`. In a subclass that takes them apart with `split`
    they may also be maps `[...,*event_shape[:-1],channels]`, the output of a convolution: `[...,28,28,2]` for a normal
    distribution of events `[28,28,1]`.

    Under half-precision policies everything is computed in float32, because the 8 significant bits of bfloat16 are too
    few for a log_prob of hundreds of nats.

    Args:
        event_shape: Shape of one event; an int is the size of a vector.
        num_params: Number of parameters of one event.
        convert_to_tensor_fn: Result of `call`: "sample", "mean" or "mode" in the compute dtype of the policy, or
            "params", the parameters in float32 (float64 under that policy).
        seed: Seed of the samples, an int.

    Attributes:
        support: `Support`, the values that the distribution can take.
        conversions: Possible values of `convert_to_tensor_fn`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or, in a call, the inputs are not as described.
    """

    support = REAL
    conversions: tuple[str, ...] = ("sample", "mean", "mode", "params")

    def __init__(self, event_shape, num_params, convert_to_tensor_fn="sample", seed=None, **kwargs):
        probability()
        # Without autocast, float32 parameters are not rounded to the compute dtype.
        super().__init__(autocast=False, **kwargs)
        if convert_to_tensor_fn not in self.conversions:
            raise ValueError(
                f"`convert_to_tensor_fn` must be one of {self.conversions}. "
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
        """Dtype of the result of `call`, except for "params"."""
        return self.compute_dtype

    @property
    def params_dtype(self):
        """Dtype of the parameters and of everything that is computed from them."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def distribution(self, params):
        """Returns the `tfd.Distribution` for given parameters; its batch shape is `[...]`.

        The methods of this object do not check their arguments; `log_prob` of the layer does.

        Args:
            params: Real numbers `[...,params_size]`, or maps `[...,*event_shape[:-1],channels]` if the layer takes
                them.

        Raises:
            ValueError: If the parameters have another shape, or are None, strings or complex numbers.
            tf.errors.InvalidArgumentError: When a graph runs, if a size that was unknown before is wrong.
        """
        params = real_numbers("params", params, self.params_dtype)
        return self.make_distribution(tf.ensure_shape(params, self._params_shape(params.shape)))

    def log_prob(self, params, values, name="values"):
        """Returns the log-probability, or log-density, of events.

        Args:
            params: Parameters, as in `distribution`.
            values: One event for each set of parameters, numbers or bools `[...,*event_shape]`.
            name: Name of the values in error messages.

        Returns:
            Nats `[...]`, in float32 or float64.

        Raises:
            ValueError: If a shape is wrong, an argument is None, strings or complex numbers, or, in eager execution,
                a value is not in the support.
            tf.errors.InvalidArgumentError: When a graph runs, if a value is not in the support or a size that was
                unknown before is wrong. XLA drops this check; the results are then NaN.
        """
        distribution = self.distribution(params)
        values = self.checked(values, name, distribution.batch_shape, distribution.batch_shape_tensor())
        return distribution.log_prob(values)

    def checked(self, values, name, batch_shape=None, batch_shape_tensor=None):
        """Returns values in the dtype of the `tfd` object's events, after the checks of `log_prob`.

        Args:
            values: Events, numbers or bools `[...,*event_shape]`.
            name: Name of the values in error messages.
            batch_shape: `tf.TensorShape` that the axes before the event must have, or None for any.
            batch_shape_tensor: The same shape as a tensor, for sizes that are not known before the graph runs.

        Raises:
            ValueError: If the shape is wrong, the values are None, strings or complex numbers, or, in eager execution,
                a value is not in the support.
            tf.errors.InvalidArgumentError: When a graph runs, if a value is not in the support or a size that was
                unknown before is wrong.
        """
        shapes = (batch_shape, batch_shape_tensor)
        values = checked(name, values, self.support, self.event_shape, self.params_dtype, *shapes)
        if self.value_dtype != "int32":
            return values
        # Under XLA, NaN marks a value outside the support. The cast would make it a valid id, but the score of -1 is
        # NaN.
        return tf.where(tf.math.is_nan(values), -1, tf.cast(values, tf.int32))

    def next_seed(self):
        """Returns the next seed for a method of a `tfd.Distribution`, int32 `[2]`."""
        # Keras's seeds are int64, which TensorFlow Probability does not accept as a stateless seed.
        return tf.cast(self.seed_generator.next(), tf.int32)

    def call(self, inputs):
        """Returns a sample, mean or mode of the distribution, or the parameters `inputs`, as `convert_to_tensor_fn`
        says."""
        distribution = self.distribution(inputs)
        if self.convert_to_tensor_fn == "params":
            return tf.cast(inputs, self.params_dtype)
        if self.convert_to_tensor_fn == "sample":
            values = distribution.sample(seed=self.next_seed())
        else:
            values = getattr(distribution, self.convert_to_tensor_fn)()
        return tf.cast(values, self.value_dtype)

    def compute_output_shape(self, input_shape):
        """Returns `[...,*event_shape]`; with "params", returns the shape of the inputs."""
        input_shape = self._params_shape(input_shape)
        return input_shape if self.convert_to_tensor_fn == "params" else (*self._batch(input_shape), *self.event_shape)

    def compute_output_spec(self, inputs):
        """Returns the shape and dtype of the output."""
        dtype = self.params_dtype if self.convert_to_tensor_fn == "params" else self.value_dtype
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    def get_config(self):
        """Returns the constructor's arguments that all subclasses have."""
        return {**super().get_config(), "convert_to_tensor_fn": self.convert_to_tensor_fn, "seed": self.seed}

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` for parameters of the right shape and dtype. Subclasses override it."""
        raise NotImplementedError

    def split(self, params, number, each=()):
        """Splits parameters into `number` tensors `[...,*event_shape,*each]`. Subclasses call it."""
        shape = tf.concat([self._batch(tf.shape(params), params.shape), [*self.event_shape, *each]], axis=0)
        return [tf.reshape(part, shape) for part in tf.split(params, number, axis=-1)]

    def _map_shape(self):
        """Returns the shape of one event's parameters as a map; None if they can only be flat."""
        if len(self.event_shape) < 2:
            return None
        *spatial, channels = self.event_shape
        return (*spatial, channels * self.num_params // event_size(self.event_shape))

    def _are_maps(self, shape):
        maps = self._map_shape()
        return maps is not None and tuple(shape[-len(maps) :]) == maps

    def _batch(self, shape, static_shape=None):
        """Returns the batch axes of a checked shape, those before the parameters of one event."""
        return shape[: -len(self.event_shape)] if self._are_maps(static_shape or shape) else shape[:-1]

    def _params_shape(self, shape):
        """Returns the shape of parameters, with the required sizes in place of unknown ones.

        Raises:
            ValueError: If the parameters cannot have this shape.
        """
        shape, maps = None if tf.TensorShape(shape).rank is None else tuple(shape), self._map_shape()
        for ending in filter(None, [maps, (self.num_params,)]):
            # Parameters with an unknown last axis are flat, because a convolution knows its number of channels.
            if shape and len(shape) >= len(ending) and (shape[-1] is not None or ending is not maps):
                start = shape[: len(shape) - len(ending)]
                if all(size in (None, wanted) for size, wanted in zip(shape[len(start) :], ending, strict=True)):
                    return (*start, *ending)
        wanted = f"[...,{self.num_params}]" + (f" or [...,{','.join(map(str, maps))}]" if maps else "")
        raise ValueError(f"`params` must have shape {wanted}. Received: params.shape={shape}")

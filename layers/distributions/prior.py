"""`Prior`: what all priors have in common."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import probability, shape_tuple


class Prior(keras.layers.Layer):
    """Base of the distributions that have their own weights and no inputs.

    A subclass has `distribution()`. Called as a layer, a prior gives the `log_prob` of its inputs in float32, or
    float64 if that is the policy.

    Args:
        event_shape: Shape of one event.
    """

    def __init__(self, event_shape, **kwargs):
        probability()
        super().__init__(autocast=False, **kwargs)
        self.event_shape = shape_tuple(event_shape)
        self.built = True  # subclasses make their weights in the constructor: there are no inputs to wait for

    @property
    def params_dtype(self):
        """The dtype of the distribution."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def distribution(self):
        """The `tfd.Distribution`, without a batch shape."""
        raise NotImplementedError

    def call(self, inputs):
        """The `log_prob` `[...]` of `inputs [...,*event_shape]`, in nats."""
        return self.distribution().log_prob(tf.cast(inputs, self.params_dtype))

    def compute_output_shape(self, input_shape):
        """`[...]`."""
        batch = len(input_shape) - len(self.event_shape)
        if batch < 0 or tuple(input_shape[batch:]) != self.event_shape:
            expected = ",".join(map(str, self.event_shape))
            raise ValueError(f"`inputs` must have the shape [...,{expected}]. Received: inputs.shape={input_shape}")
        return tuple(input_shape[:batch])

    def compute_output_spec(self, inputs):
        """The output's shape and dtype."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.params_dtype)

"""`Prior`: the base class of all priors."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import probability, shape_tuple
from ikelos.layers.distributions.support import REAL, check_shape, checked


class Prior(keras.layers.Layer):
    """Base of the distributions whose parameters are weights or constants, not inputs.

    A subclass has `distribution()` and, if not all finite numbers are possible values, `support`. Called as a layer, a
    prior returns the `log_prob` of its inputs, in float32, or in float64 under that policy.

    Args:
        event_shape: Shape of one event; an int is the size of a vector.

    Attributes:
        support: `Support`, the values that the distribution can take.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If `event_shape` is not made of positive integers. When called: if the inputs are not real numbers,
            have another shape or, in eager execution, have values that the distribution cannot take.
        tf.errors.InvalidArgumentError: When a graph runs, if the inputs have such values.
    """

    support = REAL

    def __init__(self, event_shape, **kwargs):
        probability()
        super().__init__(autocast=False, **kwargs)
        self.event_shape = shape_tuple(event_shape)
        self.built = True  # Subclasses create their weights in the constructor: no shape depends on the inputs.

    @property
    def params_dtype(self):
        """Dtype of the distribution."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def distribution(self):
        """Returns the `tfd.Distribution`, whose batch shape is ()."""
        raise NotImplementedError

    def call(self, inputs):
        """Returns the `log_prob` `[...]` of `inputs [...,*event_shape]`, in nats."""
        return self.distribution().log_prob(self._checked(inputs))

    def compute_output_shape(self, input_shape):
        """Returns `[...]`."""
        check_shape("inputs", tf.TensorShape(input_shape), self.event_shape)
        return tuple(input_shape[: len(input_shape) - len(self.event_shape)])

    def compute_output_spec(self, inputs):
        """Returns the shape and dtype of the output."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.params_dtype)

    def _checked(self, inputs):
        return checked("inputs", inputs, self.support, self.event_shape, self.params_dtype)

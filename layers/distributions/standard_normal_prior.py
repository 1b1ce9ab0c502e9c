"""`StandardNormalPrior`: independent normal distributions of mean 0 and variance 1."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import probability
from ikelos.layers.distributions.prior import Prior


@keras.saving.register_keras_serializable(package="ikelos")
class StandardNormalPrior(Prior):
    """Independent normal distributions of mean 0 and variance 1: the prior of Kingma & Welling 2014.

    Args:
        event_shape: Shape of one event; an int is the size of a vector, Z.

    Input shape: `[...,*event_shape]`. Output shape: `[...]`, the `log_prob` of the inputs in nats.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If `event_shape` is not made of positive integers. When called: if the inputs are not real numbers,
            have another shape or, in eager execution, are not finite.
        tf.errors.InvalidArgumentError: When a graph runs, if the inputs are not finite.

    Example:

    >>> prior = StandardNormalPrior(2)
    >>> prior(keras.ops.zeros((1, 2))).numpy().round(4)
    array([-1.8379], dtype=float32)
    >>> prior.distribution().sample(3).shape
    TensorShape([3, 2])
    """

    def distribution(self):
        """Returns the `tfd.Distribution`."""
        tfd = probability().distributions
        normals = tfd.Normal(tf.zeros(self.event_shape, self.params_dtype), 1.0)
        return tfd.Independent(normals, len(self.event_shape))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

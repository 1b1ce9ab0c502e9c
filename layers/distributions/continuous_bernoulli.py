"""`ContinuousBernoulli`: independent distributions of values from 0 to 1."""

import keras

from ikelos.layers.distributions.distribution_layer import probability
from ikelos.layers.distributions.independent_distribution import IndependentDistribution
from ikelos.layers.distributions.support import UNIT_INTERVAL


@keras.saving.register_keras_serializable(package="ikelos")
class ContinuousBernoulli(IndependentDistribution):
    """Independent continuous Bernoulli distributions of values from 0 to 1 (Loaiza-Ganem & Cunningham 2019).

    The parameters are logits. The density is `exp(log_prob)` of `Bernoulli`, normalized so that it integrates to 1 over
    the values from 0 to 1. Samples are reparameterized. The gradient of the variance is finite for logits up to 88 in
    absolute value.

    Args:
        event_shape: Shape of one event; an int is the size of a vector.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", "mode", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,params_size]` or maps `[...,*event_shape]`.

    Output shape: `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = ContinuousBernoulli(2, convert_to_tensor_fn="mean")
    >>> layer(keras.ops.zeros((1, 2))).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    support = UNIT_INTERVAL

    def make_values(self, logits):
        """Returns the `tfd.Distribution` of logits."""
        return probability().distributions.ContinuousBernoulli(logits, dtype=logits.dtype)

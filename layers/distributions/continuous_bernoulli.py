"""`ContinuousBernoulli`: independent distributions of values from 0 to 1."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability
from ikelos.layers.distributions.support import UNIT_INTERVAL


@keras.saving.register_keras_serializable(package="ikelos")
class ContinuousBernoulli(DistributionLayer):
    """Independent continuous Bernoulli distributions of values from 0 to 1 (Loaiza-Ganem & Cunningham 2019).

    The parameters are logits. The density is `exp(log_prob)` of `Bernoulli`, normalized so that it integrates to 1 over
    the values from 0 to 1. Samples are reparameterized. The gradient of the variance is finite for logits up to 88 in
    absolute value.

    Args:
        event_shape: Shape of one event; an int is the size of a vector.
        convert_to_tensor_fn: What `call` returns: "sample", "mean" or "mode", or "params", the parameters in float32.
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

    def __init__(self, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        size = ContinuousBernoulli.params_size(event_shape)
        super().__init__(event_shape, size, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_shape=()):
        """The number of parameters of one event."""
        return event_size(event_shape)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

    def make_distribution(self, params):
        """The `tfd.Distribution` of logits."""
        tfd = probability().distributions
        (logits,) = self.split(params, 1)
        return tfd.Independent(tfd.ContinuousBernoulli(logits, dtype=params.dtype), len(self.event_shape))

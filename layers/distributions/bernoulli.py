"""`Bernoulli`: independent Bernoulli distributions."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability
from ikelos.layers.distributions.support import BINARY


@keras.saving.register_keras_serializable(package="ikelos")
class Bernoulli(DistributionLayer):
    """Independent Bernoulli distributions, as in `tfp.layers.IndependentBernoulli`.

    The parameters are logits. Samples have no gradient. The `log_prob` of a value between 0 and 1 is the negative cross
    entropy, a common loss for grey images, but not the log of a density: `ContinuousBernoulli` gives that.

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

    >>> layer = Bernoulli((2, 2), convert_to_tensor_fn="mean")
    >>> layer(keras.ops.zeros((1, Bernoulli.params_size((2, 2))))).numpy()
    array([[[0.5, 0.5],
            [0.5, 0.5]]], dtype=float32)
    """

    support = BINARY

    def __init__(self, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        super().__init__(event_shape, Bernoulli.params_size(event_shape), convert_to_tensor_fn, seed, **kwargs)

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
        return tfd.Independent(tfd.Bernoulli(logits, dtype=params.dtype), len(self.event_shape))

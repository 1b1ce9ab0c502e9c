"""`Bernoulli`: independent Bernoulli distributions."""

import keras

from ikelos.layers.distributions.distribution_layer import probability
from ikelos.layers.distributions.independent_distribution import IndependentDistribution
from ikelos.layers.distributions.support import BINARY


@keras.saving.register_keras_serializable(package="ikelos")
class Bernoulli(IndependentDistribution):
    """Independent Bernoulli distributions, as in `tfp.layers.IndependentBernoulli`.

    The parameters are logits. Samples have no gradient. The `log_prob` of a value between 0 and 1 is the negative cross
    entropy, a common loss for grey images. It is not the log of a density, unlike that of `ContinuousBernoulli`.

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

    >>> layer = Bernoulli((2, 2), convert_to_tensor_fn="mean")
    >>> layer(keras.ops.zeros((1, Bernoulli.params_size((2, 2))))).numpy()
    array([[[0.5, 0.5],
            [0.5, 0.5]]], dtype=float32)
    """

    support = BINARY

    def make_values(self, logits):
        """Returns the `tfd.Distribution` of logits."""
        return probability().distributions.Bernoulli(logits, dtype=logits.dtype)

"""`Poisson`: independent Poisson distributions of counts."""

import keras

from ikelos.layers.distributions.distribution_layer import probability
from ikelos.layers.distributions.independent_distribution import IndependentDistribution
from ikelos.layers.distributions.support import COUNTS


@keras.saving.register_keras_serializable(package="ikelos")
class Poisson(IndependentDistribution):
    """Independent Poisson distributions of counts, as in `tfp.layers.IndependentPoisson`.

    The parameters are logarithms of rates. Samples are whole numbers in the policy's dtype and have no gradient.

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

    >>> layer = Poisson(2, convert_to_tensor_fn="mean")
    >>> layer(keras.ops.zeros((1, 2))).numpy()
    array([[1., 1.]], dtype=float32)
    """

    support = COUNTS

    def make_values(self, log_rate):
        """Returns the `tfd.Distribution` of logarithms of rates."""
        return probability().distributions.Poisson(log_rate=log_rate)

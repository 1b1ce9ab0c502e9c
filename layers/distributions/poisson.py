"""`Poisson`: independent Poisson distributions of counts."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability
from ikelos.layers.distributions.support import COUNTS


@keras.saving.register_keras_serializable(package="ikelos")
class Poisson(DistributionLayer):
    """Independent Poisson distributions of counts, as in `tfp.layers.IndependentPoisson`.

    The parameters are logarithms of rates. Samples are whole numbers in the policy's dtype and have no gradient.

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

    >>> layer = Poisson(2, convert_to_tensor_fn="mean")
    >>> layer(keras.ops.zeros((1, 2))).numpy()
    array([[1., 1.]], dtype=float32)
    """

    support = COUNTS

    def __init__(self, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        super().__init__(event_shape, Poisson.params_size(event_shape), convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_shape=()):
        """The number of parameters of one event."""
        return event_size(event_shape)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

    def make_distribution(self, params):
        """The `tfd.Distribution` of logarithms of rates."""
        tfd = probability().distributions
        (log_rate,) = self.split(params, 1)
        return tfd.Independent(tfd.Poisson(log_rate=log_rate), len(self.event_shape))

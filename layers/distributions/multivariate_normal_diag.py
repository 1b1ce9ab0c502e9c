"""`MultivariateNormalDiag`: a normal distribution of vectors with a diagonal covariance."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, probability, scale_of
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class MultivariateNormalDiag(DistributionLayer):
    """Normal distribution of vectors with a diagonal covariance.

    Parameters and results are those of `Normal(event_size)`. The `tfd` object is a multivariate normal distribution,
    with methods such as `covariance`.

    Args:
        event_size: Size of the vectors, Z.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", "mode", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,2*Z]`. Output shape: `[...,Z]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = MultivariateNormalDiag(2)
    >>> layer(keras.ops.zeros((5, MultivariateNormalDiag.params_size(2)))).shape
    TensorShape([5, 2])
    """

    def __init__(self, event_size, convert_to_tensor_fn="sample", seed=None, **kwargs):
        size = MultivariateNormalDiag.params_size(event_size)
        super().__init__(event_size, size, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_size):
        """Returns the number of parameters of one event."""
        check_positive(event_size=event_size)
        return 2 * event_size

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "event_size": self.event_shape[0]}

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of locations and scales."""
        loc, scale = self.split(params, 2)
        return probability().distributions.MultivariateNormalDiag(loc, scale_of(scale))

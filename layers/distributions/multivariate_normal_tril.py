"""`MultivariateNormalTriL`: a normal distribution of vectors with a full covariance."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer, probability, scale_of
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class MultivariateNormalTriL(DistributionLayer):
    """Normal distribution of vectors with a full covariance, as in `tfp.layers.MultivariateNormalTriL`.

    The parameters are the location, then the lower triangle of the Cholesky factor of the covariance, in the order of
    `tfp.math.fill_triangular`, with its diagonal before softplus. 1e-5 is added to the diagonal. The density overflows
    float32 if the entries below the diagonal are far larger than those on it: their ratio to the power of Z - 1 must
    stay below 1e18.

    Args:
        event_size: Size of the vectors, Z.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", "mode", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,Z+Z*(Z+1)/2]`. Output shape: `[...,Z]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = MultivariateNormalTriL(3)
    >>> MultivariateNormalTriL.params_size(3)
    9
    >>> layer(keras.ops.zeros((5, 9))).shape
    TensorShape([5, 3])
    """

    def __init__(self, event_size, convert_to_tensor_fn="sample", seed=None, **kwargs):
        size = MultivariateNormalTriL.params_size(event_size)
        super().__init__(event_size, size, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_size):
        """Returns the number of parameters of one event."""
        check_positive(event_size=event_size)
        return event_size + event_size * (event_size + 1) // 2

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "event_size": self.event_shape[0]}

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of locations and scales."""
        tfp = probability()
        (size,) = self.event_shape
        lower = tfp.math.fill_triangular(params[..., size:])
        # Not tfp.bijectors.FillScaleTriL: for batches of unknown size XLA cannot compile the gradient of set_diag.
        scale_tril = tf.where(tf.eye(size, dtype=tf.bool), scale_of(lower), lower)
        return tfp.distributions.MultivariateNormalTriL(params[..., :size], scale_tril)

"""`OneHotCategorical`: the distribution of one class, as a one-hot vector."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, probability
from ikelos.layers.distributions.support import ONE_HOT
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class OneHotCategorical(DistributionLayer):
    """Distribution of one class as a one-hot vector, as in `tfp.layers.OneHotCategorical`.

    The parameters are logits. Samples have no gradient. The `log_prob` of probabilities that sum to 1 is the negative
    cross entropy.

    Args:
        event_size: Number of classes, V.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", "mode", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,V]`. Output shape: `[...,V]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = OneHotCategorical(3, convert_to_tensor_fn="mode")
    >>> layer(keras.ops.array([[0.0, 2.0, 1.0]])).numpy()
    array([[0., 1., 0.]], dtype=float32)
    """

    support = ONE_HOT

    def __init__(self, event_size, convert_to_tensor_fn="sample", seed=None, **kwargs):
        size = OneHotCategorical.params_size(event_size)
        super().__init__(event_size, size, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_size):
        """Returns the number of parameters of one event."""
        check_positive(event_size=event_size)
        return event_size

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "event_size": self.event_shape[0]}

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of logits."""
        return probability().distributions.OneHotCategorical(params, dtype=params.dtype)

"""`OneHotCategorical`: the distribution of one class, as a one-hot vector."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, check_positive, probability


@keras.saving.register_keras_serializable(package="ikelos")
class OneHotCategorical(DistributionLayer):
    """The distribution of one class as a one-hot vector, as `tfp.layers.OneHotCategorical` has it.

    Parameters: logits. Samples have no gradient.

    Args:
        event_size: Number of classes, V.
        convert_to_tensor_fn: What `call` returns: "sample", "mean" or "mode", or "params", the parameters in float32.
        seed: Seed of the samples.

    Input shape: `[...,V]`. Output shape: `[...,V]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If `event_size` or the inputs' shape is another.

    Example:

    >>> layer = OneHotCategorical(3, convert_to_tensor_fn="mode")
    >>> layer(keras.ops.array([[0.0, 2.0, 1.0]])).numpy()
    array([[0., 1., 0.]], dtype=float32)
    """

    def __init__(self, event_size, convert_to_tensor_fn="sample", seed=None, **kwargs):
        check_positive(event_size=event_size)
        size = OneHotCategorical.params_size(event_size)
        super().__init__(event_size, size, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_size):
        """The number of parameters of one event."""
        return event_size

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "event_size": self.event_shape[0]}

    def _distribution(self, params):
        return probability().distributions.OneHotCategorical(params, dtype=params.dtype)

"""`Categorical`: independent distributions of class ids."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability
from ikelos.layers.distributions.support import classes
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class Categorical(DistributionLayer):
    """Independent distributions of class ids from 0 to `num_classes - 1`.

    The parameters are logits; the V logits of one id are next to each other. Samples are int32 and have no gradient.
    The mean of class ids is not defined.

    Args:
        num_classes: Number of classes, V.
        event_shape: Shape of one event; () for a single id.
        convert_to_tensor_fn: Result of `call`: "sample", "mode", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,params_size]`, or maps `[...,*event_shape[:-1],event_shape[-1]*V]`.

    Output shape: int32 `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = Categorical(3, convert_to_tensor_fn="mode")
    >>> layer(keras.ops.array([[0.0, 2.0, 1.0]])).numpy()
    array([1], dtype=int32)
    """

    conversions = ("sample", "mode", "params")

    def __init__(self, num_classes, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        size = Categorical.params_size(num_classes, event_shape)
        super().__init__(event_shape, size, convert_to_tensor_fn, seed, **kwargs)
        self.num_classes = num_classes
        self.support = classes(num_classes)

    @staticmethod
    def params_size(num_classes, event_shape=()):
        """Returns the number of parameters of one event."""
        check_positive(num_classes=num_classes)
        return num_classes * event_size(event_shape)

    @property
    def value_dtype(self):
        """Dtype of samples and modes."""
        return "int32"

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_classes": self.num_classes, "event_shape": self.event_shape}

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of logits."""
        tfd = probability().distributions
        (logits,) = self.split(params, 1, (self.num_classes,))
        return tfd.Independent(tfd.Categorical(logits), len(self.event_shape))

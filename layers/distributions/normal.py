"""`Normal`: independent normal distributions."""

import keras

from ikelos.layers.distributions.distribution_layer import probability, scale_of
from ikelos.layers.distributions.independent_distribution import IndependentDistribution


@keras.saving.register_keras_serializable(package="ikelos")
class Normal(IndependentDistribution):
    """Independent normal distributions, as in `tfp.layers.IndependentNormal`.

    The parameters are all locations, then all scales before softplus. 1e-5 is added to each scale.

    Args:
        event_shape: Shape of one event; an int is the size of a vector.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", "mode", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,params_size]`, or maps `[...,*event_shape[:-1],2*event_shape[-1]]`.

    Output shape: `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = Normal(3, convert_to_tensor_fn="mean")
    >>> params = keras.ops.zeros((2, Normal.params_size(3)))
    >>> layer(params).shape
    TensorShape([2, 3])
    >>> layer.log_prob(params, keras.ops.zeros((2, 3))).shape
    TensorShape([2])
    """

    params_per_value = 2

    def make_values(self, loc, scale):
        """Returns the `tfd.Distribution` of locations and scales."""
        return probability().distributions.Normal(loc, scale_of(scale))

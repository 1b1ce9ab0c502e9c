"""`Logistic`: independent logistic distributions."""

import keras

from ikelos.layers.distributions.distribution_layer import probability, scale_of
from ikelos.layers.distributions.independent_distribution import IndependentDistribution


@keras.saving.register_keras_serializable(package="ikelos")
class Logistic(IndependentDistribution):
    """Independent logistic distributions, as in `tfp.layers.IndependentLogistic`.

    Like `Normal`, with heavier tails. The parameters are all locations, then all scales before softplus. 1e-5 is added
    to each scale.

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

    >>> layer = Logistic(2, convert_to_tensor_fn="mean")
    >>> layer(keras.ops.array([[1.0, -1.0, 0.0, 0.0]])).numpy()
    array([[ 1., -1.]], dtype=float32)
    """

    params_per_value = 2

    def make_values(self, loc, scale):
        """Returns the `tfd.Distribution` of locations and scales."""
        return probability().distributions.Logistic(loc, scale_of(scale))

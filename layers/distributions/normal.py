"""`Normal`: independent normal distributions."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability, scale_of


@keras.saving.register_keras_serializable(package="ikelos")
class Normal(DistributionLayer):
    """Independent normal distributions, as in `tfp.layers.IndependentNormal`.

    The parameters are all locations, then all scales before softplus. 1e-5 is added to each scale.

    Args:
        event_shape: Shape of one event; an int is the size of a vector.
        convert_to_tensor_fn: What `call` returns: "sample", "mean" or "mode", or "params", the parameters in float32.
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

    def __init__(self, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        super().__init__(event_shape, Normal.params_size(event_shape), convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_shape=()):
        """The number of parameters of one event."""
        return 2 * event_size(event_shape)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

    def make_distribution(self, params):
        """The `tfd.Distribution` of locations and scales."""
        tfd = probability().distributions
        loc, scale = self.split(params, 2)
        return tfd.Independent(tfd.Normal(loc, scale_of(scale)), len(self.event_shape))

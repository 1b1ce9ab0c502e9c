"""`Logistic`: independent logistic distributions."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability, scale_of


@keras.saving.register_keras_serializable(package="ikelos")
class Logistic(DistributionLayer):
    """Independent logistic distributions, as in `tfp.layers.IndependentLogistic`.

    Like `Normal`, with heavier tails. The parameters are all locations, then all scales before softplus. 1e-5 is added
    to each scale.

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

    >>> layer = Logistic(2, convert_to_tensor_fn="mean")
    >>> layer(keras.ops.array([[1.0, -1.0, 0.0, 0.0]])).numpy()
    array([[ 1., -1.]], dtype=float32)
    """

    def __init__(self, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        super().__init__(event_shape, Logistic.params_size(event_shape), convert_to_tensor_fn, seed, **kwargs)

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
        return tfd.Independent(tfd.Logistic(loc, scale_of(scale)), len(self.event_shape))

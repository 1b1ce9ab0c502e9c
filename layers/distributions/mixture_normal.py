"""`MixtureNormal`: a mixture of normal distributions."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability, scale_of
from ikelos.layers.distributions.mixture import component_params
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class MixtureNormal(DistributionLayer):
    """Mixture of independent normal distributions, as in `tfp.layers.MixtureNormal`.

    It equals `Mixture(num_components, Normal(event_shape))`, but has the arguments of `tfp.layers.MixtureNormal`.

    Args:
        num_components: Number of components.
        event_shape: Shape of one event; an int is the size of a vector.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,params_size]`. Output shape: `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = MixtureNormal(5, event_shape=2)
    >>> MixtureNormal.params_size(5, event_shape=2)
    25
    >>> layer.log_prob(keras.ops.zeros((4, 25)), keras.ops.zeros((4, 2))).shape
    TensorShape([4])
    """

    conversions = ("sample", "mean", "params")

    def __init__(self, num_components, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        size = MixtureNormal.params_size(num_components, event_shape)
        super().__init__(event_shape, size, convert_to_tensor_fn, seed, **kwargs)
        self.num_components = num_components

    @staticmethod
    def params_size(num_components, event_shape=()):
        """Returns the number of parameters of one event."""
        check_positive(num_components=num_components)
        return num_components * (1 + 2 * event_size(event_shape))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_components": self.num_components, "event_shape": self.event_shape}

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of logits, locations and scales."""
        tfd = probability().distributions
        logits, components = component_params(params, self.num_components)
        loc, scale = self.split(components, 2)
        normals = tfd.Independent(tfd.Normal(loc, scale_of(scale)), len(self.event_shape))
        return tfd.MixtureSameFamily(tfd.Categorical(logits), normals)

    def _map_shape(self):
        return None

"""`Mixture`: a mixture of distributions of one family."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability
from ikelos.layers.options import check_positive


def component_params(params, num_components):
    """Splits parameters `[...,params_size]` of a mixture.

    Returns:
        The logits of the components, `[...,num_components]`, and their parameters, `[...,num_components,size]`.
    """
    logits, components = params[..., :num_components], params[..., num_components:]
    size = components.shape[-1] // num_components
    return logits, tf.reshape(components, tf.concat([tf.shape(params)[:-1], [num_components, size]], axis=0))


@keras.saving.register_keras_serializable(package="ikelos")
class Mixture(DistributionLayer):
    """Mixture of distributions of one family, as in `tfp.layers.MixtureSameFamily`.

    An event is drawn as a whole from one component. The parameters are the logits of the components, then the
    parameters of each component. The gradient of a sample ignores the random choice of its component. The
    mode is not known, and there is a mean only if the components have one.

    Args:
        num_components: Number of components.
        component_layer: The distribution layer of one component, such as `Logistic(8)`.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", or "params", the parameters in float32.
        seed: Seed of the samples, an int.

    Input shape: `[...,params_size]`. Output shape: `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> from ikelos.layers.distributions import Poisson
    >>> layer = Mixture(3, Poisson(2), convert_to_tensor_fn="mean")
    >>> Mixture.params_size(3, Poisson.params_size(2))
    9
    >>> layer(keras.ops.zeros((1, 9))).numpy()
    array([[1., 1.]], dtype=float32)
    """

    def __init__(self, num_components, component_layer, convert_to_tensor_fn="sample", seed=None, **kwargs):
        if not isinstance(component_layer, DistributionLayer):
            raise ValueError(
                f"`component_layer` must be a distribution layer. Received: component_layer={component_layer!r}"
            )
        self.conversions = tuple(name for name in component_layer.conversions if name != "mode")
        size = Mixture.params_size(num_components, component_layer.num_params)
        super().__init__(component_layer.event_shape, size, convert_to_tensor_fn, seed, **kwargs)
        self.num_components = num_components
        self.component_layer = component_layer
        self.support = component_layer.support

    @staticmethod
    def params_size(num_components, component_params_size):
        """Returns the number of parameters of one event, given the number for one component."""
        check_positive(num_components=num_components, component_params_size=component_params_size)
        return num_components * (1 + component_params_size)

    @property
    def value_dtype(self):
        """Dtype of samples and means."""
        return "int32" if self.component_layer.value_dtype == "int32" else self.compute_dtype

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "component_layer": keras.saving.serialize_keras_object(self.component_layer),
        }

    @classmethod
    def from_config(cls, config):
        """Returns a mixture with the constructor's arguments in `config`."""
        return cls(**config | {"component_layer": keras.saving.deserialize_keras_object(config["component_layer"])})

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of logits and the components' parameters."""
        tfd = probability().distributions
        logits, components = component_params(params, self.num_components)
        event_shape = self.component_layer.event_shape
        if event_size(event_shape[:-1]) == 1:
            # The parameters of a single component would be taken for a map, and the axis of components would be lost.
            # So the parameters of each component become a map.
            ones = tf.ones([max(len(event_shape) - 1, 0)], tf.int32)
            shape = tf.concat([tf.shape(components)[:-1], ones, [components.shape[-1]]], axis=0)
            components = tf.reshape(components, shape)
        return tfd.MixtureSameFamily(tfd.Categorical(logits), self.component_layer.make_distribution(components))

    def _map_shape(self):
        return None

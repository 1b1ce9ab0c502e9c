"""`MixtureNormal`: a mixture of normal distributions."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import (
    DistributionLayer,
    check_positive,
    event_size,
    probability,
    scale_of,
)


@keras.saving.register_keras_serializable(package="ikelos")
class MixtureNormal(DistributionLayer):
    """A mixture of independent normal distributions, as `tfp.layers.MixtureNormal` has it.

    An event is drawn as a whole from one component. Parameters: the logits of the components, then for each the
    parameters of `Normal(event_shape)`. The gradient of a sample leaves the choice of its component out.

    Args:
        num_components: Number of components.
        event_shape: Shape of one event.
        convert_to_tensor_fn: What `call` returns: "sample" or "mean", or "params", the parameters in float32.
        seed: Seed of the samples.

    Input shape: `[...,params_size]`. Output shape: `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the inputs' shape is another.

    Example:

    >>> layer = MixtureNormal(5, event_shape=2)
    >>> MixtureNormal.params_size(5, event_shape=2)
    25
    >>> layer.distribution(keras.ops.zeros((4, 25))).log_prob([[0.0, 0.0]]).shape
    TensorShape([4])
    """

    def __init__(self, num_components, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        check_positive(num_components=num_components)
        if convert_to_tensor_fn == "mode":
            raise ValueError("The mode of a mixture is not known. Received: convert_to_tensor_fn='mode'")
        size = MixtureNormal.params_size(num_components, event_shape)
        super().__init__(event_shape, size, convert_to_tensor_fn, seed, **kwargs)
        self.num_components = num_components

    @staticmethod
    def params_size(num_components, event_shape=()):
        """The number of parameters of one event."""
        return num_components * (1 + 2 * event_size(event_shape))

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "num_components": self.num_components, "event_shape": self.event_shape}

    def _map_shape(self):
        return None

    def _distribution(self, params):
        tfd = probability().distributions
        logits, components = params[..., : self.num_components], params[..., self.num_components :]
        loc, scale = tf.split(self._by_component(components), 2, axis=-1)
        shape = tf.concat([tf.shape(loc)[:-1], tf.constant(self.event_shape, tf.int32)], axis=0)
        normals = tfd.Normal(tf.reshape(loc, shape), scale_of(tf.reshape(scale, shape)))
        return tfd.MixtureSameFamily(tfd.Categorical(logits), tfd.Independent(normals, len(self.event_shape)))

    def _by_component(self, components):
        size = 2 * event_size(self.event_shape)
        return tf.reshape(components, tf.concat([tf.shape(components)[:-1], [self.num_components, size]], axis=0))

"""`LearnedPrior`: any distribution, with its parameters as weights."""

import keras

from ikelos.layers.distributions.prior import Prior


@keras.saving.register_keras_serializable(package="ikelos")
class LearnedPrior(Prior):
    """The distribution of any distribution layer, with its parameters as weights.

    A mixture of normals, for example, or the probabilities of classes. The weights are one vector `params`.

    Args:
        family: The distribution layer, such as `MixtureNormal(10, 8)`.
        initializer: For the parameters. Components that start alike stay alike.

    Input shape: `[...,*event_shape]`. Output shape: `[...]`, the inputs' `log_prob` in nats.

    Raises:
        ImportError: If TensorFlow Probability is not installed.

    Example:

    >>> from ikelos.layers.distributions import MixtureNormal
    >>> prior = LearnedPrior(MixtureNormal(10, 8))
    >>> prior(keras.ops.zeros((5, 8))).shape
    TensorShape([5])
    """

    def __init__(self, family, initializer="random_normal", **kwargs):
        super().__init__(family.event_shape, **kwargs)
        self.family = family
        self.initializer = keras.initializers.get(initializer)
        self.params = self.add_weight(shape=(family.num_params,), initializer=self.initializer, name="params")

    def distribution(self):
        """The `tfd.Distribution`."""
        return self.family.distribution(self.params)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "family": keras.saving.serialize_keras_object(self.family),
            "initializer": keras.initializers.serialize(self.initializer),
        }

    @classmethod
    def from_config(cls, config):
        """A prior with the config's family."""
        return cls(**{**config, "family": keras.saving.deserialize_keras_object(config["family"])})

"""`LearnedPrior`: any distribution, with its parameters as weights."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer
from ikelos.layers.distributions.prior import Prior


@keras.saving.register_keras_serializable(package="ikelos")
class LearnedPrior(Prior):
    """Distribution of any distribution layer, with its parameters as weights.

    It can be, for example, a mixture of normal distributions, or the probabilities of classes. The weights are one
    vector, `params`.

    Args:
        family: The distribution layer, such as `MixtureNormal(10, 8)`.
        initializer: Initializer of the parameters. It should be random for a mixture: components that start with equal
            parameters stay equal.

    Input shape: `[...,*event_shape]`. Output shape: `[...]`, the `log_prob` of the inputs in nats.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If `family` is no distribution layer. When called: if the inputs are not real numbers, have another
            shape or, in eager execution, have values that the distribution cannot take.
        tf.errors.InvalidArgumentError: When a graph runs, if the inputs have such values.

    Example:

    >>> from ikelos.layers.distributions import MixtureNormal
    >>> prior = LearnedPrior(MixtureNormal(10, 8))
    >>> prior(keras.ops.zeros((5, 8))).shape
    TensorShape([5])
    """

    def __init__(self, family, initializer="random_normal", **kwargs):
        if not isinstance(family, DistributionLayer):
            raise ValueError(f"`family` must be a distribution layer. Received: family={family!r}")
        super().__init__(family.event_shape, **kwargs)
        self.family = family
        self.support = family.support
        self.initializer = keras.initializers.get(initializer)
        self.params = self.add_weight(shape=(family.num_params,), initializer=self.initializer, name="params")

    def distribution(self):
        """Returns the `tfd.Distribution`."""
        return self.family.distribution(self.params)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "family": keras.saving.serialize_keras_object(self.family),
            "initializer": keras.initializers.serialize(self.initializer),
        }

    @classmethod
    def from_config(cls, config):
        """Returns a prior with the constructor's arguments in `config`."""
        return cls(**{**config, "family": keras.saving.deserialize_keras_object(config["family"])})

    def _checked(self, inputs):
        return self.family.checked(inputs, "inputs")

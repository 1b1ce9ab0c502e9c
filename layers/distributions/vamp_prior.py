"""`VampPrior`: the posterior of learned inputs as the prior."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import check_positive, probability
from ikelos.layers.distributions.prior import Prior


@keras.saving.register_keras_serializable(package="ikelos")
class UnitInterval(keras.constraints.Constraint):
    """Holds pseudo-inputs in the range of images."""

    def __call__(self, w):
        """The nearest values between 0 and 1."""
        return keras.ops.clip(w, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="ikelos")
class VampPrior(Prior):
    """The mixture of a model's own posteriors of learned pseudo-inputs (Tomczak & Welling 2018, equation 9).

    Give it the same encoder and posterior that the model uses: both are shared, also in saved files, though not in what
    `keras.models.clone_model` makes, whose prior has an encoder of its own. The encoder is called as at inference,
    without dropout.

    Args:
        encoder: Layer or model from inputs `[B,*input_shape]` to the posterior's parameters.
        posterior: The distribution layer of those parameters, such as `Normal(Z)`.
        num_components: Number of pseudo-inputs.
        input_shape: Shape of one of the encoder's inputs.
        initializer: For the pseudo-inputs. The paper also begins with examples: `prior.pseudo_inputs.assign(...)`.
        constraint: For the pseudo-inputs, to hold them in the range of the data.

    Input shape: `[...,*event_shape]`. Output shape: `[...]`, the inputs' `log_prob` in nats.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If `num_components` is not positive.

    Example:

    >>> from ikelos.layers.distributions import Normal
    >>> encoder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(Normal.params_size(2))])
    >>> prior = VampPrior(encoder, Normal(2), num_components=10, input_shape=(6,))
    >>> prior.distribution().sample(3).shape
    TensorShape([3, 2])
    """

    def __init__(
        self,
        encoder,
        posterior,
        num_components,
        input_shape,
        initializer="random_uniform",
        constraint=None,
        **kwargs,
    ):
        check_positive(num_components=num_components)
        super().__init__(posterior.event_shape, **kwargs)
        self.encoder = encoder
        self.posterior = posterior
        self.num_components = num_components
        self.pseudo_input_shape = tuple(input_shape)
        self.initializer = keras.initializers.get(initializer)
        self.constraint = keras.constraints.get(constraint)
        shape = (num_components, *self.pseudo_input_shape)
        if not encoder.built:
            encoder.build(shape)
        self.pseudo_inputs = self.add_weight(
            shape=shape, initializer=self.initializer, constraint=self.constraint, name="pseudo_inputs"
        )

    def distribution(self):
        """The `tfd.Distribution`."""
        tfd = probability().distributions
        components = self.posterior.distribution(self.encoder(self.pseudo_inputs, training=False))
        logits = tf.zeros([self.num_components], self.params_dtype)
        return tfd.MixtureSameFamily(tfd.Categorical(logits), components)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "num_components": self.num_components,
            "input_shape": self.pseudo_input_shape,
            "initializer": keras.initializers.serialize(self.initializer),
            "constraint": keras.constraints.serialize(self.constraint),
        }

    @classmethod
    def from_config(cls, config):
        """A prior with the config's encoder and posterior."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "posterior")}
        return cls(**{**config, **parts})

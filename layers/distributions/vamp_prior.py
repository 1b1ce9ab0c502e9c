"""`VampPrior`: the posterior of learned inputs as the prior."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer, probability, shape_tuple
from ikelos.layers.distributions.prior import Prior
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class UnitInterval(keras.constraints.Constraint):
    """Holds pseudo-inputs in the range of images."""

    def __call__(self, w):
        """The nearest values between 0 and 1."""
        return keras.ops.clip(w, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="ikelos")
class VampPrior(Prior):
    """The mixture of a model's own posteriors of learned pseudo-inputs (Tomczak & Welling 2018, equation 9).

    Give it the encoder and the posterior that the model uses. Both are then shared, in saved files too, but not in what
    `keras.models.clone_model` makes of a functional model, where the prior gets its own copy of the encoder. The
    encoder runs as in inference, without dropout.

    Args:
        encoder: Layer or model from inputs `[B,*input_shape]` to the parameters of the posterior.
        posterior: The distribution layer of these parameters, such as `Normal(Z)`.
        num_components: Number of pseudo-inputs.
        input_shape: Shape of one input of the encoder.
        initializer: Initializer of the pseudo-inputs. To start from examples, as the paper also does, call
            `prior.pseudo_inputs.assign(examples)`.
        constraint: Constraint of the pseudo-inputs, which can keep them in the range of the data.

    Input shape: `[...,*event_shape]`. Output shape: `[...]`, the `log_prob` of the inputs in nats.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument is not as described. When called: if the inputs have another shape or values that the
            distribution cannot take.

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
        if not isinstance(encoder, keras.layers.Layer):
            raise ValueError(f"`encoder` must be a Keras layer or model. Received: encoder={encoder!r}")
        if not isinstance(posterior, DistributionLayer):
            raise ValueError(f"`posterior` must be a distribution layer. Received: posterior={posterior!r}")
        super().__init__(posterior.event_shape, **kwargs)
        self.encoder = encoder
        self.posterior = posterior
        self.support = posterior.support
        self.num_components = num_components
        self.pseudo_input_shape = shape_tuple(input_shape, "input_shape")
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

    def _checked(self, inputs):
        return self.posterior.checked(inputs, "inputs")

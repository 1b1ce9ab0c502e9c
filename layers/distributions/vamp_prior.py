"""`VampPrior`: a prior that is a mixture of the posteriors of learned inputs."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer, probability, shape_tuple
from ikelos.layers.distributions.prior import Prior
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class UnitInterval(keras.constraints.Constraint):
    """Constraint that keeps pseudo-inputs between 0 and 1, the range of images."""

    def __call__(self, w):
        """Returns `w` clipped to values between 0 and 1."""
        return keras.ops.clip(w, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="ikelos")
class VampPrior(Prior):
    """Mixture of a model's posteriors of learned pseudo-inputs (Tomczak & Welling 2018, equation 9).

    Pass the encoder and the posterior of the model. Model and prior then share them, in saved files too. But if
    `keras.models.clone_model` copies a functional model, the prior gets a separate copy of the encoder. The encoder
    runs as in inference, without dropout.

    Args:
        encoder: Layer or model from inputs `[B,*input_shape]` to the parameters of the posterior.
        posterior: Distribution layer of the encoder's outputs, such as `Normal(Z)`.
        num_components: Number of pseudo-inputs.
        input_shape: Shape of one input of the encoder.
        initializer: Initializer of the pseudo-inputs. To start from examples, as the paper also does, call
            `prior.pseudo_inputs.assign(examples)`.
        constraint: Constraint of the pseudo-inputs, which can keep them in the range of the data.

    Input shape: `[...,*event_shape]`. Output shape: `[...]`, the `log_prob` of the inputs in nats.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument is not as described. When called: if the inputs are not real numbers, have another
            shape or, in eager execution, have values that the distribution cannot take.
        tf.errors.InvalidArgumentError: When a graph runs, if the inputs have such values.

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
        """Returns the `tfd.Distribution`."""
        tfd = probability().distributions
        components = self.posterior.distribution(self.encoder(self.pseudo_inputs, training=False))
        logits = tf.zeros([self.num_components], self.params_dtype)
        return tfd.MixtureSameFamily(tfd.Categorical(logits), components)

    def get_config(self):
        """Returns the constructor's arguments."""
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
        """Returns a prior with the constructor's arguments in `config`."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "posterior")}
        return cls(**{**config, **parts})

    def _checked(self, inputs):
        return self.posterior.checked(inputs, "inputs")

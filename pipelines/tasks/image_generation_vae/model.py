"""The convolutional variational autoencoder."""

import keras
import numpy as np

from ikelos import layers
from ikelos.pipelines.tasks.image_generation_vae.config import Config

NAME = "vae"


@keras.saving.register_keras_serializable(package="ikelos")
class UnitInterval(keras.constraints.Constraint):
    """Holds pseudo-inputs in the range of the images."""

    def __call__(self, w):
        """The nearest values between 0 and 1."""
        return keras.ops.clip(w, 0.0, 1.0)


def build(config: Config, num_classes: int, examples: np.ndarray) -> layers.VariationalAutoencoder:
    """The untrained model, built.

    Args:
        config: The recipe.
        num_classes: For a conditional model.
        examples: Training images uint8 `[N,H,W,C]`, of which a VampPrior's pseudo-inputs begin.
    """
    posterior = layers.Normal(config.model.latent_size, name="posterior")
    encoder = _encoder(config, num_classes)
    model = layers.VariationalAutoencoder(
        encoder,
        posterior,
        _prior(config, encoder, posterior, examples),
        _decoder(config, num_classes),
        layers.Bernoulli(config.data.shape, name="likelihood"),
        num_samples=config.model.num_samples,
        free_bits=config.model.free_bits,
        name=NAME,
    )
    images_shape = (None, *config.data.shape)
    model.build((images_shape, (None, num_classes)) if config.model.conditional else images_shape)
    return model


def _prior(config, encoder, posterior, examples):
    settings = config.model.prior.model_dump(exclude={"kind"})
    if config.model.prior.kind == "normal":
        return layers.StandardNormalPrior(config.model.latent_size, name="prior")
    if config.model.prior.kind == "flow":
        return layers.RealNVPPrior(config.model.latent_size, **settings, name="prior")
    prior = layers.VampPrior(
        encoder, posterior, input_shape=config.data.shape, constraint=UnitInterval(), **settings, name="prior"
    )
    chosen = np.random.default_rng(config.training.seed).permutation(len(examples))[: prior.num_components]
    prior.pseudo_inputs.assign(np.resize(examples[chosen], prior.pseudo_inputs.shape) / 255)
    return prior


def _encoder(config, num_classes):
    settings = config.model
    images = keras.Input(config.data.shape, name="images")
    hidden = keras.layers.Conv2D(settings.width, 5, strides=2, padding="same")(images)
    hidden = _activated(_blocks(hidden, settings))
    hidden = keras.layers.Conv2D(2 * settings.width, 3, strides=2, padding="same")(hidden)
    hidden = keras.layers.Flatten()(_activated(_blocks(hidden, settings)))
    inputs, hidden = _told(images, hidden, config, num_classes)
    hidden = keras.layers.Dense(settings.hidden_size, activation="relu")(hidden)
    params = keras.layers.Dense(layers.Normal.params_size(settings.latent_size))(hidden)
    return keras.Model(inputs, params, name="encoder")


def _decoder(config, num_classes):
    settings = config.model
    height, width, channels = config.data.shape
    latents = keras.Input((settings.latent_size,), name="latents")
    inputs, hidden = _told(latents, latents, config, num_classes)
    hidden = keras.layers.Dense(settings.hidden_size, activation="relu")(hidden)
    hidden = keras.layers.Dense(height // 4 * (width // 4) * 2 * settings.width)(hidden)
    hidden = keras.layers.Reshape((height // 4, width // 4, 2 * settings.width))(hidden)
    hidden = _doubled(_activated(_blocks(hidden, settings)), settings.width, 3)
    logits = _doubled(_activated(_blocks(hidden, settings)), channels, 5)
    return keras.Model(inputs, logits, name="decoder")


def _told(inputs, hidden, config, num_classes):
    """Inputs and hidden values of a network, with the class among them if the model is conditional."""
    if not config.model.conditional:
        return inputs, hidden
    classes = keras.Input((num_classes,), name="classes")
    return (inputs, classes), keras.layers.Concatenate()([hidden, classes])


def _blocks(inputs, settings):
    """Residual blocks (He et al. 2016, the pre-activation form), each at first the identity."""
    channels = inputs.shape[-1]
    for _ in range(settings.num_blocks):
        hidden = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(_activated(inputs))
        hidden = keras.layers.Dropout(settings.dropout)(hidden)
        hidden = keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros")(hidden)
        inputs = keras.layers.Add()([inputs, hidden])
    return inputs


def _activated(inputs):
    return keras.layers.ReLU()(inputs)


def _doubled(inputs, channels, size):
    """Twice the resolution: a convolution gives the four pixels of each place (Shi et al. 2016)."""
    height, width = inputs.shape[1:3]
    hidden = keras.layers.Conv2D(4 * channels, size, padding="same")(inputs)
    hidden = keras.layers.Reshape((height, width, 2, 2, channels))(hidden)
    hidden = keras.layers.Permute((1, 3, 2, 4, 5))(hidden)
    return keras.layers.Reshape((2 * height, 2 * width, channels))(hidden)

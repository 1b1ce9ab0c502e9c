"""A convolutional variational autoencoder for images whose pixels are 0 or 1."""

import keras
import numpy as np

from ikelos import layers
from ikelos.layers.distributions.vamp_prior import UnitInterval
from ikelos.pipelines.image.config import VAE, Shape
from ikelos.pipelines.image.networks import (
    activated,
    convolution,
    doubled,
    flattened,
    residual_blocks,
    with_classes,
)

NAME = "vae"


def build(settings: VAE, shape: Shape, num_classes: int) -> layers.VariationalAutoencoder:
    """Returns the untrained model, built; with `num_classes` 0 it is unconditional."""
    posterior = layers.Normal(settings.latent_size, name="posterior")
    encoder = _encoder(settings, shape, num_classes)
    model = layers.VariationalAutoencoder(
        encoder,
        posterior,
        _prior(settings, shape, encoder, posterior),
        _decoder(settings, shape, num_classes),
        layers.Bernoulli(shape, name="likelihood"),
        num_samples=settings.num_samples,
        free_bits=settings.free_bits,
        name=NAME,
    )
    images_shape = (None, *shape)
    model.build((images_shape, (None, num_classes)) if num_classes else images_shape)
    return model


def initialize(model: layers.VariationalAutoencoder, examples: np.ndarray, seed: int) -> None:
    """Sets a VampPrior's pseudo-inputs to training images, uint8 `[N,H,W,C]`, chosen by the seed."""
    if isinstance(model.prior, layers.VampPrior):
        pseudo_inputs = model.prior.pseudo_inputs
        chosen = np.random.default_rng(seed).permutation(len(examples))[: pseudo_inputs.shape[0]]
        pseudo_inputs.assign(np.resize(examples[chosen], pseudo_inputs.shape) / 255)


def _prior(settings, shape, encoder, posterior):
    arguments = settings.prior.model_dump(exclude={"kind"})
    if settings.prior.kind == "normal":
        return layers.StandardNormalPrior(settings.latent_size, name="prior")
    if settings.prior.kind == "flow":
        return layers.RealNVPPrior(settings.latent_size, **arguments, name="prior")
    return layers.VampPrior(encoder, posterior, input_shape=shape, constraint=UnitInterval(), **arguments, name="prior")


def _encoder(settings, shape, num_classes):
    images = keras.Input(shape, name="images")
    hidden = convolution(settings.width, 5, strides=2)(images)
    hidden = activated(residual_blocks(hidden, settings.num_blocks, settings.dropout))
    hidden = convolution(2 * settings.width, 3, strides=2)(hidden)
    hidden = activated(residual_blocks(hidden, settings.num_blocks, settings.dropout))
    inputs, hidden = with_classes(images, flattened()(hidden), num_classes)
    hidden = keras.layers.Dense(settings.hidden_size, activation="relu")(hidden)
    params = keras.layers.Dense(layers.Normal.params_size(settings.latent_size))(hidden)
    return keras.Model(inputs, params, name="encoder")


def _decoder(settings, shape, num_classes):
    height, width, channels = shape
    latents = keras.Input((settings.latent_size,), name="latents")
    inputs, hidden = with_classes(latents, latents, num_classes)
    hidden = keras.layers.Dense(settings.hidden_size, activation="relu")(hidden)
    hidden = keras.layers.Dense(height // 4 * (width // 4) * 2 * settings.width)(hidden)
    hidden = keras.layers.Reshape((height // 4, width // 4, 2 * settings.width))(hidden)
    hidden = activated(residual_blocks(hidden, settings.num_blocks, settings.dropout))
    hidden = doubled(hidden, settings.width, 3)
    hidden = activated(residual_blocks(hidden, settings.num_blocks, settings.dropout))
    logits = doubled(hidden, channels, 5)
    return keras.Model(inputs, logits, name="decoder")

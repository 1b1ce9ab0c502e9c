"""A convolutional generator of images in [-1, 1], and the discriminator against which it is trained."""

import math

import keras
import tensorflow as tf

from ikelos import layers
from ikelos.pipelines.image.config import GAN, Shape, halvings
from ikelos.pipelines.image.networks import (
    activated,
    convolution,
    doubled,
    flattened,
    residual_blocks,
    with_classes,
)

NAME = "gan"


def build(settings: GAN, shape: Shape, num_classes: int, seed: int) -> layers.AdversarialModel:
    """Returns the untrained model, built, for `compile(generator_optimizer=..., discriminator_optimizer=...)`.

    Args:
        settings: Settings of the networks and of their training.
        shape: Shape of the images, one that `halvings` accepts.
        num_classes: Number of classes, which both networks take one-hot; 0 for unconditional networks.
        seed: Seed of latents and augmentation. The initial weights depend on Keras's global seed.

    Raises:
        ValueError: If the images cannot be halved.
    """
    policy = settings.augmentation
    return layers.AdversarialModel(
        _generator(settings, shape, num_classes),
        _discriminator(settings, shape, num_classes),
        loss=settings.loss,
        augmentation=layers.DifferentiableAugmentation(policy, seed=seed) if policy else None,
        penalties={"r1": settings.r1},
        penalty_interval=settings.r1_interval,
        discriminator_steps=settings.discriminator_steps,
        ema_momentum=settings.ema_momentum,
        seed=seed,
        name=NAME,
    )


def _widths(settings, width, shape):
    """Returns the channels at each resolution, from half of the images' resolution to the lowest."""
    return [min(width * 2**i, settings.max_width) for i in range(halvings(shape))]


def _generator(settings, shape, num_classes):
    height, width, channels = shape
    *upper, lowest = _widths(settings, settings.generator_width, shape)
    latents = keras.Input((settings.latent_size,), name="latents")
    inputs, hidden = with_classes(latents, latents, num_classes)
    grid = (height >> len(upper) + 1, width >> len(upper) + 1, lowest)
    hidden = keras.layers.Dense(math.prod(grid))(hidden)
    hidden = keras.layers.Reshape(grid)(hidden)
    for finer in reversed(upper):
        hidden = doubled(_refined(hidden, settings), finer, 3)
    images = doubled(_refined(hidden, settings), channels, 5)
    return keras.Model(inputs, keras.layers.Activation("tanh")(images), name="generator")


def _discriminator(settings, shape, num_classes):
    images = keras.Input(shape, name="samples")
    hidden, size = images, 5
    for width in _widths(settings, settings.discriminator_width, shape):
        hidden = convolution(width, size, strides=2)(hidden)
        hidden = _leaky(residual_blocks(hidden, settings.num_blocks, dropout=0.0))
        size = 3
    features = _leaky(keras.layers.Dense(settings.hidden_size)(flattened()(hidden)))
    score = keras.layers.Dense(1)(features)
    if not num_classes:
        return keras.Model(images, score, name="discriminator")
    # Miyato & Koyama 2018 (https://arxiv.org/abs/1802.05637), equation 3.
    classes = keras.Input((num_classes,), name="classes")
    direction = keras.layers.Dense(settings.hidden_size, use_bias=False)(classes)
    score = keras.layers.Add()([score, keras.layers.Dot(axes=1)([features, direction])])
    return keras.Model((images, classes), score, name="discriminator")


def _refined(hidden, settings):
    hidden = residual_blocks(hidden, settings.num_blocks, dropout=0.0)
    # The averaged generator uses these moving statistics unchanged, so they must not lag far behind its weights.
    return activated(keras.layers.BatchNormalization(momentum=0.9)(hidden))


def _leaky(inputs):
    """Applies leaky ReLU: the generator learns from the discriminator's gradient, which ReLU would often make 0."""
    # A maximum, since TensorFlow fails to optimize the gradient's graph of the Keras layer after a convolution.
    return keras.layers.Maximum()([inputs, keras.layers.Rescaling(0.2)(inputs)])


def scaled(images: tf.Tensor) -> tf.Tensor:
    """Returns images uint8 `[B,H,W,C]` in the generator's range, float32 from -1 to 1."""
    return tf.cast(images, tf.float32) / 127.5 - 1


def unit_range(samples: tf.Tensor) -> tf.Tensor:
    """Returns samples of the generator as intensities from 0 to 1."""
    return tf.clip_by_value((samples + 1) / 2, 0.0, 1.0)

"""Images as a model of black and white pixels takes them.

A pixel of shade `s` of 255 is white with probability `s / 255` (Salakhutdinov & Murray 2008, section 5): in training
drawn anew each time an image is seen, for validation and test once, by a number that depends on the image's id alone.
So all figures are of the same pixels, whatever the recipe and its seed.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.image import reading as images
from ikelos.pipelines.image.reading import Images
from ikelos.pipelines.tasks.image_generation_vae.config import Augmentation, Config


def fixed_pixels(ids: Sequence[str], pixels: np.ndarray) -> np.ndarray:
    """uint8 `[N,H,W,C]` of 0 and 1, drawn from shades uint8 `[N,H,W,C]` by the images' ids."""
    drawn = [np.random.default_rng(zlib.crc32(name.encode())).random(pixels.shape[1:]) for name in ids]
    return (np.stack(drawn) < pixels / 255).astype(np.uint8)


def drawn_pixels(shades: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """float32 of 0 and 1, drawn from shades in [0, 1]; the seed is int32 `[2]`."""
    return tf.cast(tf.random.stateless_uniform(tf.shape(shades), seed) < shades, tf.float32)


def training(config: Config, split: Images, start_step: int) -> tf.data.Dataset:
    """A stage's endless batches of moved and drawn images."""
    batch_size, seed = config.training.batch_size, config.training.seed
    moving = any(config.data.augmentation.model_dump().values())

    def prepare(batch):
        step = batch["draw"][0] // batch_size
        shades = tf.cast(batch["image"], tf.float32) / 255
        if moving:
            shades = moved(shades, config.data.augmentation, tf.stack([seed + 1, step]))
        return _element(config, batch, drawn_pixels(shades, tf.stack([seed, step])), len(split.class_names))

    return images.batches(split, batch_size, seed, start_step).map(prepare).prefetch(2)


def in_order(config: Config, split: Images) -> tf.data.Dataset:
    """A stage's batches of all images of a split whose pixels are 0 and 1."""

    def prepare(batch):
        return _element(config, batch, tf.cast(batch["image"], tf.float32), len(split.class_names))

    return images.in_order(split, config.evaluation.batch_size).map(prepare)


def _element(config, batch, pixels, num_classes):
    x = (pixels, tf.one_hot(batch["label"], num_classes)) if config.model.conditional else pixels
    return {"id": batch["id"], "x": x, "y": pixels, "sample_weight": tf.ones_like(batch["id"], tf.float32)}


def moved(shades: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Shades `[B,H,W,C]`, each image turned, zoomed, sheared and shifted around its middle."""
    count, height, width = tf.shape(shades)[0], shades.shape[1], shades.shape[2]
    turn, wide, high, shear, right, down = tf.unstack(tf.random.stateless_normal([6, count], seed))
    angle = turn * augmentation.rotation * math.pi / 180
    shear *= augmentation.shear
    wide, high = tf.exp(wide * augmentation.zoom), tf.exp(high * augmentation.zoom)
    cos, sin = tf.cos(angle), tf.sin(angle)
    # Of each place of the result the place it is taken from, both from the middle: [[a, b], [c, d]].
    a, b, c, d = wide * cos, wide * (shear * cos - sin), high * sin, high * (shear * sin + cos)
    x, y = (width - 1) / 2, (height - 1) / 2
    right, down = right * augmentation.shift + x - a * x - b * y, down * augmentation.shift + y - c * x - d * y
    zeros = tf.zeros([count])
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=shades,
        transforms=tf.stack([a, b, right, c, d, down, zeros, zeros], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(result, shades.shape)

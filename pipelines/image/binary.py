"""Images as a model of black and white pixels takes them.

A pixel of shade `s` of 255 is white with probability `s / 255` (Salakhutdinov & Murray 2008, section 5): in training
drawn anew each time an image is seen, for validation and test once, by a number that depends on the image's id alone.
So all figures are of the same pixels, whatever the recipe and its seed.
"""

import zlib

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import examples
from ikelos.pipelines.image.augmentation import moved
from ikelos.pipelines.image.config import Augmentation
from ikelos.pipelines.image.reading import Images


def fixed(images: Images) -> Images:
    """The images with pixels 0 and 1, drawn from their shades by their ids."""
    shape = images.pixels.shape[1:]
    drawn = [np.random.default_rng(zlib.crc32(name.encode())).random(shape) for name in images.ids]
    return images.with_pixels((np.stack(drawn) < images.pixels / 255).astype(np.uint8))


def drawn(shades: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """float32 of 0 and 1, drawn from shades in [0, 1]; the seed is int32 `[2]`."""
    return tf.cast(tf.random.stateless_uniform(tf.shape(shades), seed) < shades, tf.float32)


def training(
    images: Images, augmentation: Augmentation, batch_size: int, seed: int, start_step: int, num_classes: int
) -> tf.data.Dataset:
    """A feed's endless batches of moved and drawn images.

    Args:
        images: In shades.
        augmentation: How they are moved.
        batch_size: B.
        seed: Of the order, the moves and the pixels.
        start_step: The step of the first batch.
        num_classes: Those that the model is told, one-hot beside the pixels; 0 for none.
    """

    moving = any(augmentation.model_dump().values())

    def prepare(batch):
        step = batch["draw"][0] // batch_size
        shades = tf.cast(batch["image"], tf.float32) / 255
        if moving:
            shades = moved(shades, augmentation, tf.stack([seed + 1, step]))
        return _element(batch, drawn(shades, tf.stack([seed, step])), num_classes)

    return examples.batches(images, batch_size, seed, start_step).map(prepare).prefetch(2)


def in_order(images: Images, batch_size: int, num_classes: int) -> tf.data.Dataset:
    """A feed's batches of all images of a split whose pixels are 0 and 1."""
    return examples.in_order(images, batch_size).map(
        lambda batch: _element(batch, tf.cast(batch["image"], tf.float32), num_classes)
    )


def _element(batch, pixels, num_classes):
    x = (pixels, tf.one_hot(batch["label"], num_classes)) if num_classes else pixels
    return {"id": batch["id"], "x": x, "y": pixels, "sample_weight": tf.ones_like(batch["id"], tf.float32)}

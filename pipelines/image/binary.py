"""Draws images with black and white pixels, for models of binary pixels.

A pixel of intensity `s`, from 0 to 255, is white with probability `s / 255` (Salakhutdinov & Murray 2008, section 5).
In training, pixels are drawn anew each time an image is seen. For validation and test they are drawn once, with a seed
that depends on the image's id alone, so all figures are for the same pixels, whatever the recipe and its seed.
"""

import zlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import examples
from ikelos.pipelines.data.order import Shard, mapped
from ikelos.pipelines.data.store import Store
from ikelos.pipelines.image.augmentation import moved
from ikelos.pipelines.image.config import Augmentation


def fixed(ids: Iterable[str], images: np.ndarray) -> np.ndarray:
    """Returns pixels 0 or 1, uint8 `[N,H,W,C]`, drawn from images uint8 with their ids as seeds."""
    pixels = np.empty(images.shape, np.uint8)
    for name, image, drawn in zip(ids, images, pixels, strict=True):
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        drawn[:] = generator.random(image.shape) < image / 255
    return pixels


def fixed_pixels(store: Store, most: int | None = None) -> np.ndarray:
    """Returns the `fixed` pixels of all images in a store, or of the first `most`, in memory."""
    images, ids = store.array("image")[:most], store.ids
    return fixed((ids[place] for place in range(len(images))), images)


def drawn(shades: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Returns pixels 0 or 1, float32, drawn from intensities in [0, 1] by random numbers in [0, 1)."""
    return tf.cast(uniforms < shades, tf.float32)


def training(
    store: Store,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    start_step: int,
    shard: Shard,
    num_classes: int,
) -> tf.data.Dataset:
    """Returns a feed's endless batches of augmented images with drawn pixels.

    Args:
        store: Store of the images.
        augmentation: Random transformations of the images.
        batch_size: Images in a batch of all shards together.
        seed: Seed of the order, the transformations and the pixels.
        start_step: Step of the first batch.
        shard: Share of each batch to return.
        num_classes: Number of classes. If positive, `x` is a pair of the pixels and the one-hot class; if 0, it is the
            pixels alone.

    Raises:
        UserError: As `examples.batches`.
    """
    moving = any(augmentation.model_dump().values())
    shape = store.columns["image"].shape

    def prepare(batch):
        # Drawn for the whole batch, so that an image gets the same random numbers for any number of shards.
        step, row = batch["draw"][0] // batch_size, batch["draw"] % batch_size
        shades = tf.cast(batch["image"], tf.float32) / 255
        if moving:
            normals = tf.random.stateless_normal([6, batch_size], tf.stack([seed + 1, step]))
            shades = moved(shades, augmentation, normals, row)
        uniforms = tf.random.stateless_uniform([batch_size, *shape], tf.stack([seed, step]))
        return _element(batch, drawn(shades, tf.gather(uniforms, row)), num_classes)

    return mapped(examples.batches(store, batch_size, seed, start_step, shard), prepare).prefetch(2)


def in_order(store: Store, batch_size: int, num_classes: int) -> tf.data.Dataset:
    """Returns a feed's batches of all images in a store with their `fixed` pixels."""
    ids = store.ids

    def prepare(batch):
        def pixels(places, images):
            return fixed([ids[place] for place in places], images).astype(np.float32)

        seen = tf.numpy_function(pixels, [batch["id"], batch["image"]], tf.float32)
        return _element(batch, tf.ensure_shape(seen, batch["image"].shape), num_classes)

    return mapped(examples.in_order(store, batch_size), prepare).prefetch(2)


def _element(batch, pixels, num_classes):
    x = (pixels, tf.one_hot(batch["label"], num_classes)) if num_classes else pixels
    return {"id": batch["id"], "x": x, "y": pixels, "sample_weight": tf.ones_like(batch["id"], tf.float32)}

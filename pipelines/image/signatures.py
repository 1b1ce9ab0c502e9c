"""Images in and out of a graph: as numbers, and as files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.image import decoding
from ikelos.pipelines.image.config import Shape, as_shape
from ikelos.serving import Signature


class ImageSignatures:
    """Makes the signatures of an image model, which share their inputs.

    Their functions take, by keyword, of each row: `image`, shades float32 `[B,H,W,C]` from 0 to 1; `latents` float32
    `[B,Z]`; `seed` int64 `[B]`; `label` int64 `[B]`, the class's number, which all take whose model is told classes.
    """

    def __init__(self, shape: Shape, latent_size: int, class_names: tuple[str, ...], example: np.ndarray, resize: bool):
        """Takes the names of the classes that the model is told, if any, an image to show, uint8 `[H,W,C]`, and whether
        files of another height or width are resized (`ImageSource.resize`) or refused.
        """
        shape = as_shape(shape)
        self._shape, self._class_names, self._resize = shape, class_names, resize
        self._specs = {
            "image": tf.TensorSpec([None, *shape], tf.float32),
            "image_bytes": tf.TensorSpec([None], tf.string),
            "latents": tf.TensorSpec([None, latent_size], tf.float32),
            "seed": tf.TensorSpec([None], tf.int64),
            "label": tf.TensorSpec([None], tf.int64),
        }
        self._examples: dict[str, list] = {
            "image": [(example / 255).tolist(), (0 * example).tolist()],
            "image_bytes": [tf.io.encode_png(picture).numpy() for picture in (example, 0 * example)],
            "latents": [[0.0] * latent_size, [1.0] * latent_size],
            "seed": [0, 1],
            "label": [0, len(class_names) - 1],
        }

    def make(self, name: str, function: Callable[..., dict[str, tf.Tensor]], inputs: tuple[str, ...], doc: str):
        """A signature of these inputs, and of `label` where the model is told classes."""
        names = (*inputs, "label") if self._class_names else inputs
        specs = {key: self._specs[key] for key in names}
        return Signature(name, function, specs, {key: self._examples[key] for key in names}, doc)

    def of_files(self, name: str, function: Callable[..., dict[str, tf.Tensor]], inputs: tuple[str, ...], doc: str):
        """As `make`, with image files in `image_bytes` in place of `image`."""

        def from_files(image_bytes, **others):
            return function(image=decoded(image_bytes, self._shape, self._resize), **others)

        return self.make(name, from_files, tuple("image_bytes" if key == "image" else key for key in inputs), doc)

    def condition(self, label: tf.Tensor | None) -> tf.Tensor | None:
        """One-hot classes, checked when they are run; None for a model that is told none."""
        if label is None:
            return None
        count = len(self._class_names)
        known = tf.debugging.Assert(
            tf.reduce_all((label >= 0) & (label < count)),
            [f"`label` must be between 0 and {count - 1}. Received:", label],
        )
        with tf.control_dependencies([known]):
            return tf.one_hot(label, count)


def decoded(files: tf.Tensor, shape: Shape, resize: bool) -> tf.Tensor:
    """Shades float32 `[B,H,W,C]` from 0 to 1 of image files, brought to the shape as the training images were.

    Args:
        files: string `[B]`.
        shape: Of an image.
        resize: Whether images of another height or width are resized, or refused.

    Raises:
        tf.errors.InvalidArgumentError: When it is run, for what is not an image or, unless `resize`, has another size.
    """

    shape = as_shape(shape)

    def one(file):
        problem, size, pixels = decoding.read(file, shape)
        is_image = tf.debugging.Assert(
            problem == "", [f"`image_bytes` must be {decoding.ALL_FORMATS} files. Received:", problem]
        )
        fits = tf.debugging.Assert(
            resize or tf.reduce_all((size == shape[:2]) | (problem != "")),
            [f"`image_bytes` must be images of {shape[0]} x {shape[1]}. Received:", size],
        )
        with tf.control_dependencies([is_image, fits]):
            return tf.cast(pixels, tf.float32) / 255

    return tf.map_fn(one, files, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def encoded(images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Outputs of a signature: images float32 `[B,H,W,C]` from 0 to 1, and the same as PNG files."""
    pixels = tf.cast(tf.round(255 * images), tf.uint8)
    return {"image": images, "image_bytes": tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)}


def keys(seed: tf.Tensor) -> tf.Tensor:
    """Keys int32 `[B,2]` of random numbers, one for each seed int64 `[B]`."""
    return tf.bitcast(seed, tf.int32)


def by_row(function: Callable[..., tf.Tensor], rows: Any, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """`function` of each row by itself: what it draws must not depend on the row's mates."""
    return tf.map_fn(function, rows, fn_output_signature=dtype)

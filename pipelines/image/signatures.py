"""Serving signatures of image models, with images as numbers and as files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.image import decoding
from ikelos.pipelines.image.config import Shape, as_shape
from ikelos.serving import Signature


class ImageSignatures:
    """Maker of the signatures of an image model, which share their inputs.

    The functions of the signatures take some of these keyword arguments: `image`, intensities from 0 to 1, float32
    `[B,H,W,C]`; `latents`, float32 `[B,Z]`; `seed`, int64 `[B]`; and `label`, int64 `[B]`, the index of the class,
    which is always present if the model is conditional.
    """

    def __init__(self, shape: Shape, latent_size: int, class_names: tuple[str, ...], example: np.ndarray, resize: bool):
        """Prepares the inputs' specifications and examples.

        Args:
            shape: Shape (H, W, C) of the images.
            latent_size: Number of latent values, Z.
            class_names: Names of the classes; empty for an unconditional model.
            example: Example image, uint8 `[H,W,C]`.
            resize: Whether image files of another height or width are resized (`ImageSource.resize`) or rejected.
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
        """Returns a signature with these inputs, and `label` if the model is conditional."""
        names = (*inputs, "label") if self._class_names else inputs
        specs = {key: self._specs[key] for key in names}
        return Signature(name, function, specs, {key: self._examples[key] for key in names}, doc)

    def of_files(self, name: str, function: Callable[..., dict[str, tf.Tensor]], inputs: tuple[str, ...], doc: str):
        """Returns a signature as `make` does, with image files in `image_bytes` instead of `image`."""

        def from_files(image_bytes, **others):
            return function(image=decoded(image_bytes, self._shape, self._resize), **others)

        return self.make(name, from_files, tuple("image_bytes" if key == "image" else key for key in inputs), doc)

    def condition(self, label: tf.Tensor | None) -> tf.Tensor | None:
        """Returns one-hot classes, whose range is checked when run; None if `label` is None."""
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
    """Decodes image files to intensities float32 `[B,H,W,C]` from 0 to 1, in the same way as the training images.

    Args:
        files: string `[B]`.
        shape: Shape (H, W, C) of the result.
        resize: Whether images of another height or width are resized or rejected.

    Raises:
        tf.errors.InvalidArgumentError: When run, if a file is not an image or, unless `resize`, has another size.
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
    """Returns the outputs of a signature: images float32 `[B,H,W,C]` from 0 to 1, and the same as PNG files."""
    pixels = tf.cast(tf.round(255 * images), tf.uint8)
    return {"image": images, "image_bytes": tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)}


def keys(seed: tf.Tensor) -> tf.Tensor:
    """Returns the keys int32 `[B,2]` of stateless random ops, one for each seed int64 `[B]`."""
    return tf.bitcast(seed, tf.int32)


def by_row(function: Callable[..., tf.Tensor], rows: Any, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Applies `function` to each row separately, so that its random numbers do not depend on other rows."""
    return tf.map_fn(function, rows, fn_output_signature=dtype)

"""Serving signatures of image models, with images as numbers and as files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.image import decoding
from ikelos.pipelines.image.config import Shape, as_shape
from ikelos.serving import Bound, Signature


class ImageSignatures:
    """Maker of the signatures of an image model, which share their inputs.

    The functions of the signatures take some of these keyword arguments: `image`, intensities from 0 to 1, float32
    `[B,H,W,C]`; `latents`, float32 `[B,Z]`; `seed`, int64 `[B]`; and `label`, int64 `[B]`, the index of the class,
    which is always present if the model is conditional.
    """

    def __init__(
        self,
        shape: Shape,
        latent_size: int,
        class_names: tuple[str, ...],
        example: np.ndarray,
        resize: bool,
        max_bytes: int,
        max_pixels: int,
    ):
        """Prepares the inputs' specifications and examples.

        Args:
            shape: Shape (H, W, C) of the images.
            latent_size: Number of latent values, Z.
            class_names: Names of the classes; empty for an unconditional model.
            example: Example image, uint8 `[H,W,C]`.
            resize: Whether image files of another height or width are resized (`ImageSource.resize`) or rejected.
            max_bytes: Most bytes of an image file.
            max_pixels: Most pixels of an image file.
        """
        shape = as_shape(shape)
        self._shape, self._class_names, self._resize, self._max_pixels = shape, class_names, resize, max_pixels
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
        self._bounds = {
            "image": Bound((0.0, 1.0)),
            "image_bytes": Bound(max_bytes=max_bytes),
            "latents": Bound((tf.float32.min, tf.float32.max)),
        }
        if class_names:
            self._bounds["label"] = Bound((0, len(class_names) - 1))

    def make(self, name: str, function: Callable[..., dict[str, tf.Tensor]], inputs: tuple[str, ...], doc: str):
        """Returns a signature with these inputs, and `label` if the model is conditional."""
        names = (*inputs, "label") if self._class_names else inputs
        specs = {key: self._specs[key] for key in names}
        example = {key: self._examples[key] for key in names}
        bounds = {key: bound for key, bound in self._bounds.items() if key in names}
        return Signature(name, function, specs, example, doc, bounds)

    def of_files(self, name: str, function: Callable[..., dict[str, tf.Tensor]], inputs: tuple[str, ...], doc: str):
        """Returns a signature as `make` does, with image files in `image_bytes` instead of `image`."""

        def from_files(image_bytes, **others):
            return function(image=decoded(image_bytes, self._shape, self._resize, self._max_pixels), **others)

        return self.make(name, from_files, tuple("image_bytes" if key == "image" else key for key in inputs), doc)

    def condition(self, label: tf.Tensor | None) -> tf.Tensor | None:
        """Returns one-hot classes; None if `label` is None."""
        return None if label is None else tf.one_hot(label, len(self._class_names))


def decoded(files: tf.Tensor, shape: Shape, resize: bool, max_pixels: int) -> tf.Tensor:
    """Decodes image files to intensities float32 `[B,H,W,C]` from 0 to 1, in the same way as the training images.

    Args:
        files: string `[B]`.
        shape: Shape (H, W, C) of the result.
        resize: Whether images of another height or width are resized or rejected.
        max_pixels: Most pixels of a file.

    Raises:
        tf.errors.InvalidArgumentError: When run, if a file is not an image, has more pixels or, unless `resize`, has
            another size.
    """

    shape = as_shape(shape)

    def one(file):
        problem, size, pixels = decoding.read(file, shape, max_pixels)
        is_image = tf.debugging.Assert(
            problem == "", [f"`image_bytes` must be {decoding.ALL_FORMATS} files. Received:", problem]
        )
        fits = tf.debugging.Assert(
            resize or tf.reduce_all((size == shape[:2]) | (problem != "")),
            [f"`image_bytes` must be images of {shape[0]} x {shape[1]}. Received:", size],
        )
        with tf.control_dependencies([is_image, fits]):
            return tf.cast(pixels, tf.float32) / 255

    # One after another, so that a request has one image of many pixels in memory, and not ten.
    return tf.map_fn(one, files, fn_output_signature=tf.TensorSpec(shape, tf.float32), parallel_iterations=1)


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

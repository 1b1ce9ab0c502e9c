"""Arrays of images to look at, uint8 `[rows,columns,H,W,C]`."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

_FARTHEST = 2.0
"""Standard deviations to either side that a traversal covers."""
_AT_ONCE = 1024
"""Images of either set that are compared at once: the training images may be larger than memory."""

Decode = Callable[[tf.Tensor, tf.Tensor | None], tf.Tensor]
"""Maps latent values `[B,Z]` and one-hot classes `[B,classes]` or None to images in [0, 1], float32 `[B,H,W,C]`."""


def to_uint8(values: tf.Tensor | np.ndarray) -> np.ndarray:
    """Returns values in [0, 1] as uint8."""
    return np.rint(255 * np.asarray(values)).astype(np.uint8)


def many(make: Callable[[int, int], tf.Tensor], number: int, at_once: int) -> np.ndarray:
    """Returns images uint8 `[number,H,W,C]`, generated batch by batch.

    Args:
        make: Function from the index of the first image and a number of images to images in [0, 1].
        number: Total number of images.
        at_once: Largest batch.
    """
    starts = range(0, number, at_once)
    return np.concatenate([to_uint8(make(start, min(at_once, number - start))) for start in starts])


def grid(sample: Callable[[int, tf.Tensor | None], tf.Tensor], side: int, num_classes: int) -> np.ndarray:
    """Returns `side` rows and columns of samples; a conditional model has one class per column.

    Args:
        sample: Function from a number of samples and one-hot classes or None to samples in [0, 1].
        side: Number of rows and of columns.
        num_classes: Number of classes; 0 for an unconditional model.
    """
    condition = tf.one_hot(tf.range(side * side) % side % num_classes, num_classes) if num_classes else None
    drawn = to_uint8(sample(side * side, condition))
    return drawn.reshape(side, side, *drawn.shape[1:])


def nearest(images: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest training image of each image, by Euclidean distance.

    Args:
        images: uint8 `[N,H,W,C]`.
        training: uint8 `[M,H,W,C]`.

    Returns:
        The indices of the training images, int64 `[N]`, and the distances, float32 `[N]`, where 1 is the distance
        between a black and a white pixel.
    """
    flat = _flat(images)
    best, place = np.full(len(flat), np.inf), np.zeros(len(flat), np.int64)
    for start in range(0, len(training), _AT_ONCE):
        block = _flat(training[start : start + _AT_ONCE])
        for i in range(0, len(flat), _AT_ONCE):
            here = slice(i, i + _AT_ONCE)
            scores = (block**2).sum(1) - 2 * flat[here] @ block.T
            nearest, score = scores.argmin(1), scores.min(1)
            place[here] = np.where(score < best[here], start + nearest, place[here])
            best[here] = np.minimum(score, best[here])
    return place, np.sqrt(((flat - _flat(training[place])) ** 2).sum(1))


def _flat(images: np.ndarray) -> np.ndarray:
    """Returns images as float32 `[N,H*W*C]` from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def walks(decode: Decode, starts: np.ndarray, ends: np.ndarray, columns: int, condition=None) -> np.ndarray:
    """Returns a row of images for each pair of latent values `[N,Z]`, decoded on the straight line between them.

    A conditional model uses the class of the start, one-hot in `condition`, for the whole row.
    """
    share = np.linspace(0, 1, columns, dtype=np.float32)[None, :, None]
    return _decoded(decode, starts[:, None] * (1 - share) + ends[:, None] * share, condition)


def traversals(decode: Decode, means: np.ndarray, rows: int, columns: int, condition=None) -> np.ndarray:
    """Returns a row of images for each of the latent values that vary most, with this value changed in the first image.

    Args:
        decode: The model's decoder.
        means: Latent values of the images, float32 `[N,Z]`.
        rows: Largest number of rows.
        columns: Images in each row.
        condition: One-hot classes of the images; None for an unconditional model.
    """
    units = np.argsort(-means.var(0))[:rows]
    latents = np.tile(means[0], [len(units), columns, 1])
    for row, unit in enumerate(units):
        steps = np.linspace(-_FARTHEST, _FARTHEST, columns)
        latents[row, :, unit] = means[:, unit].mean() + means[:, unit].std() * steps
    return _decoded(decode, latents, None if condition is None else tf.repeat(condition[:1], len(units), axis=0))


def _decoded(decode, latents, condition):
    rows, columns, size = latents.shape
    if condition is not None:
        condition = tf.repeat(condition, columns, axis=0)
    images = to_uint8(decode(tf.reshape(tf.cast(latents, tf.float32), [-1, size]), condition))
    return images.reshape(rows, columns, *images.shape[1:])

"""What a person looks at: arrays of images, uint8 `[rows,columns,H,W,C]`."""

import numpy as np
import tensorflow as tf

from ikelos.layers import VariationalAutoencoder

_SEED = 0
_FARTHEST = 2.0
"""Standard deviations to either side that a traversal goes."""
_AT_ONCE = 256
"""Images whose distances are in memory together: 10,000 times MNIST's 60,000 would be 2.4 GB a copy."""


def shades(values: tf.Tensor | np.ndarray) -> np.ndarray:
    """uint8 of values in [0, 1]."""
    return np.rint(255 * np.asarray(values)).astype(np.uint8)


def samples(model: VariationalAutoencoder, side: int, num_classes: int = 0) -> np.ndarray:
    """The first `side * side` samples of a fixed seed; of a conditional model column by column another class."""
    condition = tf.one_hot(tf.range(side * side) % side % num_classes, num_classes) if num_classes else None
    drawn = shades(model.sample(side * side, condition, seed=_SEED))
    return drawn.reshape(side, side, *drawn.shape[1:])


def nearest(images: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image the place of the training image with the least Euclidean distance, and that distance.

    Args:
        images: uint8 `[N,H,W,C]`.
        training: uint8 `[M,H,W,C]`.

    Returns:
        int64 `[N]`, and float32 `[N]` in units of one white pixel.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float32) / 255 for x in (images, training))
    lengths = (b**2).sum(1)
    place = np.concatenate([(lengths - 2 * a[i : i + _AT_ONCE] @ b.T).argmin(1) for i in range(0, len(a), _AT_ONCE)])
    return place, np.sqrt(((a - b[place]) ** 2).sum(1))


def reconstructions(model: VariationalAutoencoder, original: np.ndarray, pixels, condition=None) -> np.ndarray:
    """Three rows: images as they were, their black and white pixels, and what the model makes of those.

    Args:
        model: The model.
        original: uint8 `[N,H,W,C]`.
        pixels: The same of 0 and 1.
        condition: One-hot classes, for a conditional model.
    """
    pixels = tf.cast(pixels, tf.float32)
    rebuilt = model.reconstruct(pixels if condition is None else (pixels, condition))
    return np.stack([original, shades(pixels), shades(rebuilt)])


def walks(model: VariationalAutoencoder, starts, ends, columns: int, condition=None) -> np.ndarray:
    """A row for each pair of images: what is decoded on the straight way from one's latent values to the other's.

    A conditional model goes on with the class of the start.
    """
    first, last = (model.encode(_paired(tf.cast(x, tf.float32), condition)) for x in (starts, ends))
    part = tf.linspace(0.0, 1.0, columns)[None, :, None]
    return _decoded(model, first[:, None] * (1 - part) + last[:, None] * part, condition)


def traversals(model: VariationalAutoencoder, pixels, rows: int, columns: int, condition=None) -> np.ndarray:
    """A row for each of the latent values that vary most: one image, decoded with this value from low to high.

    Args:
        model: The model.
        pixels: Images of 0 and 1 by which the variance is measured, the first of which is shown.
        rows: Number of latent values.
        columns: Steps of each.
        condition: One-hot classes, for a conditional model.
    """
    means = model.encode(_paired(tf.cast(pixels, tf.float32), condition)).numpy()
    units = np.argsort(-means.var(0))[:rows]
    latents = np.tile(means[0], [len(units), columns, 1])
    for row, unit in enumerate(units):
        latents[row, :, unit] = means[:, unit].mean() + means[:, unit].std() * np.linspace(
            -_FARTHEST, _FARTHEST, columns
        )
    return _decoded(model, latents, None if condition is None else tf.repeat(condition[:1], len(units), axis=0))


def _decoded(model, latents, condition):
    rows, columns, size = latents.shape
    if condition is not None:
        condition = tf.repeat(condition, columns, axis=0)
    images = shades(model.decode(tf.reshape(tf.cast(latents, tf.float32), [-1, size]), condition))
    return images.reshape(rows, columns, *images.shape[1:])


def _paired(images, condition):
    return images if condition is None else (images, condition)

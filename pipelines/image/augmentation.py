"""Random transformations of images, in the graph."""

import math

import tensorflow as tf

from ikelos.pipelines.image.config import Augmentation


def moved(
    shades: tf.Tensor, augmentation: Augmentation, normals: tf.Tensor, rows: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns images that are rotated, zoomed, sheared and shifted about their centres, each differently.

    Pixels from outside an image are 0.

    Args:
        shades: Images, float32 `[B,H,W,C]`.
        augmentation: Standard deviations of the transformations.
        normals: Standard normal random numbers, float32 `[6,B]`, or `[6,N]` with `rows`.
        rows: int64 `[B]`, for each image the column of `normals` to use. The transformations are computed for all N
            columns, as the last bits of a result may depend on the number of columns.
    """
    height, width = shades.shape[1:3]
    turn, wide, high, shear, right, down = tf.unstack(normals)
    angle = turn * augmentation.rotation * math.pi / 180
    shear *= augmentation.shear
    wide, high = tf.exp(wide * augmentation.zoom), tf.exp(high * augmentation.zoom)
    cos, sin = tf.cos(angle), tf.sin(angle)
    # [[a, b], [c, d]] maps each place of the result to the place it is taken from, both relative to the centre.
    a, b, c, d = wide * cos, wide * (shear * cos - sin), high * sin, high * (shear * sin + cos)
    x, y = (width - 1) / 2, (height - 1) / 2
    right, down = right * augmentation.shift + x - a * x - b * y, down * augmentation.shift + y - c * x - d * y
    zeros = tf.zeros_like(turn)
    transforms = tf.stack([a, b, right, c, d, down, zeros, zeros], axis=1)
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=shades,
        transforms=transforms if rows is None else tf.gather(transforms, rows),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(result, shades.shape)

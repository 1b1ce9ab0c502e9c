"""Images moved at random, in the graph."""

import math

import tensorflow as tf

from ikelos.pipelines.image.config import Augmentation


def moved(
    shades: tf.Tensor, augmentation: Augmentation, normals: tf.Tensor, rows: tf.Tensor | None = None
) -> tf.Tensor:
    """Images float32 `[B,H,W,C]`, each turned, zoomed, sheared and shifted around its middle.

    What comes in from outside is 0.

    Args:
        shades: The images.
        augmentation: By how much they are moved.
        normals: What is random in it: float32 `[6,B]` of a normal distribution; with `rows`, `[6,N]`.
        rows: Int64 `[B]`, which of the N belongs to each image. What comes of the numbers is worked out for all of
            them, as its last bits may depend on how many there are.
    """
    height, width = shades.shape[1:3]
    turn, wide, high, shear, right, down = tf.unstack(normals)
    angle = turn * augmentation.rotation * math.pi / 180
    shear *= augmentation.shear
    wide, high = tf.exp(wide * augmentation.zoom), tf.exp(high * augmentation.zoom)
    cos, sin = tf.cos(angle), tf.sin(angle)
    # Of each place of the result the place it is taken from, both from the middle: [[a, b], [c, d]].
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

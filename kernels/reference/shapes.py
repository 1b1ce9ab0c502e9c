"""Sizes of tensors."""

import tensorflow as tf


def sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The shape of `x`: ints where they are known when traced, so that static shapes are kept, and tensors
    elsewhere."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if known is None else known for axis, known in enumerate(x.shape)]

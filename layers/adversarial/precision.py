"""The precision of adversarial losses."""

import tensorflow as tf


def wide(x):
    """`x` in float32, or in float64 if it has that; half precision is too coarse for means and differences."""
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)

"""The precision of adversarial losses."""

import tensorflow as tf


def wide(x):
    """Returns `x` in float32, because half precision is too coarse for means and differences; float64 stays."""
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)

"""The precision that adversarial training computes in."""

import tensorflow as tf


def wide(x):
    """`x` in float32, or in float64 if it is: half precision is too narrow for means and differences."""
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)

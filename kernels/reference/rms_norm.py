"""RMS normalisation in plain TensorFlow."""

import tensorflow as tf


def rms_norm(x: tf.Tensor, scale: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Computes `ikelos.kernels.rms_norm` for tensors `x [..., D]` and `scale [D]` of one dtype."""
    # Half precision is computed in float32, as in the native kernel, because the square of 256 overflows float16.
    compute = tf.float64 if x.dtype == tf.float64 else tf.float32
    wide = tf.cast(x, compute)
    mean = tf.reduce_mean(tf.square(wide), axis=-1, keepdims=True)
    if not (x.shape[-1:].is_fully_defined() and scale.shape.is_fully_defined()):
        # Broadcasting would accept a scale of shape [1] for any D.
        message = "`scale` must have shape [D], where D is the last axis of `x`."
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(scale), tf.shape(x)[-1:], message)]):
            scale = tf.identity(scale)
    return tf.cast(wide * tf.math.rsqrt(mean + epsilon) * tf.cast(scale, compute), x.dtype)

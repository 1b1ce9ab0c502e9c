"""Dense products in plain TensorFlow: the definition of `ikelos.kernels.dense` and `gated_dense`."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic


def dense(x: tf.Tensor, kernels: list[tf.Tensor]) -> list[tf.Tensor]:
    """Computes `ikelos.kernels.dense`."""
    return [_product(x, kernel) for kernel in kernels]


def gated_dense(x: tf.Tensor, gate: tf.Tensor, up: tf.Tensor) -> tf.Tensor:
    """Computes `ikelos.kernels.gated_dense`."""
    dtype = arithmetic(x.dtype)
    gated = tf.nn.silu(tf.cast(_product(x, gate), dtype)) * tf.cast(_product(x, up), dtype)
    return tf.cast(gated, x.dtype)


def _product(x, kernel):
    batch, steps, depth = tf.unstack(tf.shape(x))
    rows = tf.matmul(tf.reshape(x, [batch * steps, depth]), kernel)
    return tf.ensure_shape(tf.reshape(rows, [batch, steps, tf.shape(kernel)[1]]), [*x.shape[:2], kernel.shape[1]])

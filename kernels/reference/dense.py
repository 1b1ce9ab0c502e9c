"""Dense products in plain TensorFlow: the definition of `ikelos.kernels.dense` and `gated_dense`."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic


def dense(x: tf.Tensor, kernels: list[tf.Tensor]) -> list[tf.Tensor]:
    """Computes `ikelos.kernels.dense`."""
    return [_product(x, kernel) for kernel in kernels]


def gated_dense(x: tf.Tensor, gate: tf.Tensor, up: tf.Tensor) -> tf.Tensor:
    """Computes `ikelos.kernels.gated_dense`."""
    dtype = arithmetic(x.dtype)
    gates, factors = (tf.cast(_product(x, kernel), dtype) for kernel in (gate, up))
    # Not `gates * sigmoid(gates)`, nor `tf.nn.silu`: TensorFlow makes that one call of oneDNN, which takes 100
    # microseconds to prepare, for 1024 numbers.
    return tf.cast(tf.sigmoid(gates) * factors * gates, x.dtype)


def _product(x, kernel):
    if None not in (*x.shape[1:], *kernel.shape) and x.shape[1] * x.shape[2] * kernel.shape[1]:
        # Decoding runs this for each token, where every op counts.
        rows = tf.matmul(tf.reshape(x, [-1, x.shape[2]]), kernel)
        return tf.reshape(rows, [-1, x.shape[1], kernel.shape[1]])
    batch, steps, depth = tf.unstack(tf.shape(x))
    rows = tf.matmul(tf.reshape(x, [batch * steps, depth]), kernel)
    return tf.ensure_shape(tf.reshape(rows, [batch, steps, tf.shape(kernel)[1]]), [*x.shape[:2], kernel.shape[1]])

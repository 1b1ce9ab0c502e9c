"""Dense products in plain TensorFlow: the definition of `ikelos.kernels.dense` and `gated_dense`."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic


def dense(x: tf.Tensor, kernels: list[tf.Tensor]) -> list[tf.Tensor]:
    """Computes `ikelos.kernels.dense`."""
    return [_product(x, kernel, len(kernels)) for kernel in kernels]


def gated_dense(x: tf.Tensor, gate: tf.Tensor, up: tf.Tensor) -> tf.Tensor:
    """Computes `ikelos.kernels.gated_dense`."""
    dtype = arithmetic(x.dtype)
    gates, factors = (tf.cast(_product(x, kernel, 2), dtype) for kernel in (gate, up))
    # Not `gates * sigmoid(gates)`, nor `tf.nn.silu`: TensorFlow makes that one call of oneDNN, which takes 100
    # microseconds to prepare, for 1024 numbers.
    return tf.cast(tf.sigmoid(gates) * factors * gates, x.dtype)


def _product(x, kernel, at_once):
    depth, units = kernel.shape
    if None in (*x.shape[1:], depth, units) or not x.shape[1] * depth * units:
        batch, steps, depth = tf.unstack(tf.shape(x))
        rows = tf.matmul(tf.reshape(x, [batch * steps, depth]), kernel)
        return tf.ensure_shape(tf.reshape(rows, [batch, steps, tf.shape(kernel)[1]]), [*x.shape[:2], units])
    # Decoding runs this for each token, where every op counts.
    steps, count = x.shape[1], _parts(kernel, at_once)
    x, size = tf.reshape(x, [-1, depth]), depth // count
    rows = [tf.matmul(x[:, i : i + size], kernel[i : i + size]) for i in range(0, depth, size)]
    return tf.reshape(tf.add_n(rows) if count > 1 else rows[0], [-1, steps, units])


def _parts(kernel: tf.Tensor, at_once: int) -> int:
    """Returns the number of parts into which the rows of a matrix are split.

    TensorFlow computes a product of few rows mostly in one thread, and products that do not depend on each other at
    the same time. Microseconds on two cores of a Xeon with AMX:

    rows | matrix     | whole | parts
    -----|------------|-------|---------
    1    | 768 x 768  | 190   | 2 in 108
    1    | 768 x 2048 | 325   | 4 in 255
    8    | 768 x 768  | 205   | 2 in 122
    8    | 768 x 2048 | 754   | 4 in 611

    Smaller matrices gained nothing. Parts with aligned memory are not copied.

    Args:
        kernel: `[D,U]`.
        at_once: Number of matrices that the same rows are multiplied by; two already occupy two cores.
    """
    depth, units = kernel.shape
    if kernel.dtype.size < 4:
        return 1  # half precision is summed in float32 and rounded once
    megabytes = depth * units * kernel.dtype.size / 2**20 / min(at_once, 2)
    count = 4 if megabytes >= 4 else 2 if megabytes >= 1 else 1
    return count if depth % count == 0 and depth // count * units * kernel.dtype.size % 64 == 0 else 1

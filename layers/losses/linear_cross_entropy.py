"""The cross-entropy of a vocabulary's projection, without the logits of all tokens in memory."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.reference.shapes import sizes
from ikelos.layers.losses.cross_entropy import labels_of, logits_grad, losses_of

# Logits of a chunk, 32 MB of float32. Twice as many took 6% less time and half as much memory again (V = 32,000).
CHUNK_LOGITS = 2**23


# The functions have no control flow on tensors, so AutoGraph has nothing to convert.
@tf.autograph.experimental.do_not_convert
def linear_cross_entropy(hidden, kernel, labels, bias=None, chunk_rows=None):
    """Returns the cross-entropy of each label under the logits `hidden @ kernel + bias`, in nats.

    It never holds the logits of all tokens, but computes those of some rows at a time, and again for the gradient
    (Wijmans et al. 2024, https://arxiv.org/abs/2411.09009). That takes a fourth matrix product beside the three of a
    projection, and little memory beyond the gradients.

    To leave padding out, multiply the losses by a mask; the labels of the padding must be in range too.

    Args:
        hidden: Floats `[..., D]`.
        kernel: Floats `[D,V]`.
        labels: int `[...]`, in `[0, V)`.
        bias: Floats `[V]`, or None.
        chunk_rows: Largest number of rows whose logits are in memory at a time; None for as many as have some
            eight million logits.

    Returns:
        Floats `[...]`, float64 for a float64 `hidden`, otherwise float32, as are the logits. Under XLA and on a GPU,
        NaN for a label that is out of range.

    Raises:
        ValueError: If the shapes of `hidden`, `kernel`, `labels` and `bias` do not match, or `chunk_rows` is below 1.
        tf.errors.InvalidArgumentError: On CPU, if a label is out of range.

    Example:

    >>> import tensorflow as tf
    >>> kernel = tf.math.log([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]])
    >>> tf.exp(-linear_cross_entropy([[1.0, 0.0], [0.0, 1.0]], kernel, [1, 0])).numpy().round(4)
    array([0.5, 0.7], dtype=float32)
    """
    hidden, kernel = tf.convert_to_tensor(hidden), tf.convert_to_tensor(kernel)
    dtype = arithmetic(hidden.dtype)
    hidden, kernel = tf.cast(hidden, dtype), tf.cast(kernel, dtype)
    bias = None if bias is None else tf.cast(bias, dtype)
    _check(hidden, kernel, bias, chunk_rows)
    labels = labels_of(labels, "hidden", hidden)
    if chunk_rows is None:
        classes = kernel.shape[1]
        chunk_rows = max(1, CHUNK_LOGITS // classes) if classes else tf.maximum(1, CHUNK_LOGITS // tf.shape(kernel)[1])
    parameters = [kernel] if bias is None else [kernel, bias]
    size = hidden.shape[-1] or kernel.shape[0] or tf.shape(kernel)[0]
    rows = _losses(tf.reshape(hidden, [-1, size]), parameters, tf.reshape(labels, [-1]), chunk_rows)
    return tf.reshape(rows, tf.shape(labels))


def _losses(hidden, parameters, labels, most_rows):
    count = tf.shape(hidden)[0] if hidden.shape[0] is None else hidden.shape[0]
    # Chunks of one size, at least one of one row, so that XLA can compile the loop; the last is filled up with zeros.
    chunks = _pieces(count, most_rows)
    rows = _pieces(count, chunks)

    def chunked(x):
        padded = tf.pad(x, [[0, chunks * rows - count]] + [[0, 0]] * (x.shape.rank - 1))
        return tf.reshape(padded, [chunks, rows, *sizes(x)[1:]])

    def joined(x):
        return tf.reshape(x, [chunks * rows, *sizes(x)[2:]])[:count]

    def softmax(hidden, kernel, *bias):
        logits = tf.matmul(hidden, kernel)
        if bias:
            logits = tf.nn.bias_add(logits, bias[0])
        return logits, tf.nn.softmax(logits)

    labels_by_chunk = chunked(labels)

    @tf.custom_gradient
    def losses(hidden, *parameters):
        hidden_by_chunk = chunked(hidden)

        def chunk_losses(arguments):
            hidden, labels = arguments
            return losses_of(labels, *softmax(hidden, *parameters))

        found = tf.map_fn(
            chunk_losses,
            (hidden_by_chunk, labels_by_chunk),
            fn_output_signature=hidden.dtype,
            parallel_iterations=1,
        )

        def grad(upstream):
            upstream_by_chunk = chunked(upstream)

            def chunk_grad(i, hidden_grad, kernel_grad, *bias_grad):
                hidden = hidden_by_chunk[i]
                _, probabilities = softmax(hidden, *parameters)
                change = logits_grad(labels_by_chunk[i], probabilities, upstream_by_chunk[i])
                return (
                    i + 1,
                    hidden_grad.write(i, tf.matmul(change, parameters[0], transpose_b=True)),
                    kernel_grad + tf.matmul(hidden, change, transpose_a=True),
                    *(x + tf.reduce_sum(change, 0) for x in bias_grad),
                )

            array = tf.TensorArray(hidden.dtype, chunks, element_shape=hidden_by_chunk.shape[1:])
            start = (0, array, *(tf.zeros_like(x) for x in parameters))
            _, array, *grads = tf.while_loop(lambda i, *_: i < chunks, chunk_grad, start, parallel_iterations=1)
            return joined(array.stack()), *grads

        return joined(found), grad

    return losses(hidden, *parameters)


def _pieces(count, size):
    """Returns the number of pieces of `size` that cover `count`, at least 1."""
    pieces = (count + size - 1) // size
    return tf.maximum(pieces, 1) if tf.is_tensor(pieces) else max(pieces, 1)


def _check(hidden, kernel, bias, chunk_rows):
    if kernel.shape.rank != 2 or not kernel.shape[:1].is_compatible_with(hidden.shape[-1:]):
        raise ValueError(
            "`kernel` must have shape [D, V], where D is the last axis of `hidden`. "
            f"Received: kernel.shape={kernel.shape}, hidden.shape={hidden.shape}"
        )
    if bias is not None and not bias.shape.is_compatible_with(kernel.shape[1:]):
        raise ValueError(
            "`bias` must have shape [V], where V is the last axis of `kernel`. "
            f"Received: bias.shape={bias.shape}, kernel.shape={kernel.shape}"
        )
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"`chunk_rows` must be at least 1. Received: chunk_rows={chunk_rows}")

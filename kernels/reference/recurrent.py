"""Recurrent layers over whole sequences in plain TensorFlow: the meaning of `ikelos.kernels.lstm`."""

import tensorflow as tf

from ikelos.kernels.reference.shapes import sizes


def lstm(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor | None,
    initial_state: tuple[tf.Tensor, tf.Tensor],
    mask: tf.Tensor | None,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """See `ikelos.kernels.lstm`; here every argument is given and checked."""
    units = recurrent_kernel.shape[0]
    batch, steps, features = sizes(inputs)
    # All steps' input products in one GEMM: only the recurrent one is left in the loop.
    flat = tf.matmul(tf.reshape(tf.transpose(inputs, [1, 0, 2]), [steps * batch, features]), kernel)
    projected = tf.reshape(flat if bias is None else flat + bias, [steps, batch, 4 * units])
    projected = tf.TensorArray(inputs.dtype, steps).unstack(projected)
    valid = None if mask is None else tf.TensorArray(tf.bool, steps).unstack(tf.transpose(mask)[:, :, None])

    # A first entry that is cut off again: the shape of a list of no steps is not known.
    first = tf.TensorArray(inputs.dtype, steps + 1, element_shape=[inputs.shape[0], units]).write(0, initial_state[0])

    def step(t, hidden, cell, outputs):
        i, f, candidate, o = tf.split(projected.read(t) + tf.matmul(hidden, recurrent_kernel), 4, axis=-1)
        new_cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(candidate)
        new_hidden = tf.sigmoid(o) * tf.tanh(new_cell)
        if valid is not None:
            keep = valid.read(t)
            new_hidden, new_cell = tf.where(keep, new_hidden, hidden), tf.where(keep, new_cell, cell)
        return t + 1, new_hidden, new_cell, outputs.write(t + 1, new_hidden)

    _, hidden, cell, outputs = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (0, *initial_state, first),
        # Also a bound on the memory of the gradient's stacks, without which XLA cannot compile it.
        maximum_iterations=steps,
    )
    outputs = tf.transpose(outputs.stack()[1:], [1, 0, 2])
    if mask is not None:
        # Before a row's first valid step there is no output to repeat.
        begun = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
        outputs = tf.where(begun[:, :, None], outputs, tf.zeros([], inputs.dtype))
    return tf.ensure_shape(outputs, [inputs.shape[0], inputs.shape[1], units]), (hidden, cell)

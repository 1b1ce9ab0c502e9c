"""Recurrent layers over whole sequences in plain TensorFlow: the definition of `ikelos.kernels.lstm` and `gru`."""

from collections.abc import Callable

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.recurrent_arguments import Operands, Options
from ikelos.kernels.reference.shapes import assertions, sizes


def lstm(operands: Operands, options: Options) -> tuple[tf.Tensor, ...]:
    """Returns outputs, hidden and cell state of `ikelos.kernels.lstm`, which has checked known shapes."""
    wide, masks = _widen(operands, options)
    kernel_scale, recurrent_scale, cell_scale, cell_offset = wide.layer_norm or [None] * 4
    epsilon = options.epsilon

    def step(from_inputs, hidden, cell):
        from_hidden = _normalized(_product(hidden, wide.recurrent_kernel, masks), recurrent_scale, epsilon)
        i, f, candidate, o = tf.split(from_inputs + from_hidden, 4, axis=-1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(candidate)
        return tf.sigmoid(o) * tf.tanh(_add_terms(_normalized(cell, cell_scale, epsilon), cell_offset)), cell

    from_inputs = _add_terms(_normalized(_inputs_product(wide), kernel_scale, epsilon), *wide.bias)
    return _run_steps(step, from_inputs, operands, wide, options)


def gru(operands: Operands, options: Options) -> tuple[tf.Tensor, ...]:
    """Returns outputs and hidden state of `ikelos.kernels.gru`, which has checked known shapes."""
    wide, masks = _widen(operands, options)
    kernel_scale, recurrent_scale = wide.layer_norm or [None] * 2
    biases = (tf.unstack(*wide.bias) if options.reset_after else wide.bias) if wide.bias else ()
    units = wide.recurrent_kernel.shape[0]
    of_gates, of_candidate = tf.split(wide.recurrent_kernel, [2 * units, units], axis=1)

    def reset_before(from_inputs, hidden):
        x_z, x_r, x_candidate = tf.split(from_inputs, 3, axis=-1)
        h_z, h_r = tf.split(_product(hidden, of_gates, masks[:2]), 2, axis=-1)
        candidate = tf.tanh(x_candidate + _product(tf.sigmoid(x_r + h_r) * hidden, of_candidate, masks[2:]))
        return _interpolate(tf.sigmoid(x_z + h_z), hidden, candidate)

    def reset_after(from_inputs, hidden):
        from_hidden = _normalized(_product(hidden, wide.recurrent_kernel, masks), recurrent_scale, options.epsilon)
        h_z, h_r, h_candidate = tf.split(_add_terms(from_hidden, *biases[1:]), 3, axis=-1)
        x_z, x_r, x_candidate = tf.split(from_inputs, 3, axis=-1)
        candidate = tf.tanh(x_candidate + tf.sigmoid(x_r + h_r) * h_candidate)
        return _interpolate(tf.sigmoid(x_z + h_z), hidden, candidate)

    from_inputs = _add_terms(_normalized(_inputs_product(wide), kernel_scale, options.epsilon), *biases[:1])
    return _run_steps(reset_after if options.reset_after else reset_before, from_inputs, operands, wide, options)


def _interpolate(z: tf.Tensor, hidden: tf.Tensor, candidate: tf.Tensor) -> tuple[tf.Tensor]:
    return (z * hidden + (1 - z) * candidate,)


def _widen(operands: Operands, options: Options) -> tuple[Operands, list[tf.Tensor]]:
    """Returns the operands in the dtype to compute in, and a list of the recurrent dropout masks `[B,U]` of the gates,
    which is empty without dropout."""
    dtype, columns = arithmetic(operands.inputs.dtype), operands.kernel.shape[1]
    batch, steps, features = sizes(operands.inputs)
    units = operands.recurrent_kernel.shape[0]
    axis_sizes = {"B": batch, "T": steps, "D": features, "U": units, "G": columns // units}
    arguments: dict[str, tuple[tf.Tensor | None, str]] = {
        "kernel": (operands.kernel, "D"),
        "sequence_lengths": (options.sequence_lengths, "B"),
        "mask": (options.mask, "BT"),
        "recurrent_dropout_mask": (options.recurrent_dropout_mask, "BGU"),
        **{f"initial_state[{i}]": (x, "BU") for i, x in enumerate(operands.initial_state)},
    }
    with tf.control_dependencies(assertions(arguments, axis_sizes)):
        wide = tf.nest.map_structure(lambda x: tf.cast(tf.identity(x), dtype), operands)
    if options.recurrent_dropout_mask is None:
        return wide, []
    return wide, tf.unstack(tf.stop_gradient(tf.cast(options.recurrent_dropout_mask, dtype)), axis=1)


def _inputs_product(wide: Operands) -> tf.Tensor:
    """Returns the products of the inputs of all steps with the kernel, `[T,B,G*U]`, from one matrix multiplication."""
    batch, steps, features = sizes(wide.inputs)
    by_step = tf.reshape(tf.transpose(wide.inputs, [1, 0, 2]), [steps * batch, features])
    return tf.reshape(tf.matmul(by_step, wide.kernel), [steps, batch, wide.kernel.shape[1]])


def _product(hidden: tf.Tensor, kernel: tf.Tensor, masks: list[tf.Tensor]) -> tf.Tensor:
    """Returns the product of a hidden state, times the dropout mask of each gate, with the kernels of some gates."""
    if not masks:
        return tf.matmul(hidden, kernel)
    kernels = tf.split(kernel, len(masks), axis=1)
    return tf.concat([tf.matmul(hidden * mask, part) for mask, part in zip(masks, kernels, strict=True)], axis=1)


def _normalized(x: tf.Tensor, scale: tf.Tensor | None, epsilon: float) -> tf.Tensor:
    if scale is None:
        return x
    # The second derivative of tf.nn.moments is wrong, because it treats the mean inside the variance as a constant.
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(variance + epsilon) * scale


def _add_terms(x: tf.Tensor, *summands: tf.Tensor | None) -> tf.Tensor:
    for summand in summands:
        x = x if summand is None else x + summand
    return x


def _run_steps(
    step: Callable, from_inputs: tf.Tensor, operands: Operands, wide: Operands, options: Options
) -> tuple[tf.Tensor, ...]:
    """Runs a recurrent step over the sequence.

    Args:
        step: Function of the products of one step, `[B,G*U]`, and the states. It returns the new states; the first is
            the output.
        from_inputs: The products of the inputs with the kernel, `[T,B,G*U]`.
        operands: The arguments in the dtype to which the results are rounded.
        wide: The operands in the dtype to compute in.
        options: The other arguments.

    Returns:
        The outputs `[B,T,U]` and the final states.
    """
    steps, state = sizes(from_inputs)[0], wide.initial_state
    runs, valid = steps, _valid(options, steps)
    if isinstance(steps, int) and steps == 0:
        # One invalid step is still run, because in eager mode the gradient of a loop that never runs is None.
        runs, valid = 1, tf.zeros([0, 1, 1], tf.bool)
    if options.go_backwards:
        from_inputs = tf.reverse(from_inputs, [0])
        valid = None if valid is None else tf.reverse(valid, [0])
    # Every TensorArray gets one extra, invalid step, which is cut off again. XLA cannot compile a read from an empty
    # TensorArray, whose element shape is unknown.
    extra_step = [[0, 1], [0, 0], [0, 0]]
    from_inputs_at = tf.TensorArray(from_inputs.dtype, steps + 1).unstack(tf.pad(from_inputs, extra_step))
    valid_at = None if valid is None else tf.TensorArray(tf.bool, steps + 1).unstack(tf.pad(valid, extra_step))
    outputs = tf.TensorArray(from_inputs.dtype, steps + 1, element_shape=state[0].shape).write(steps, state[0])

    def body(t, state, outputs):
        new = step(from_inputs_at.read(t), *state)
        if valid_at is not None:
            keep = valid_at.read(t)
            new = tuple(tf.where(keep, x, old) for x, old in zip(new, state, strict=True))
        return t + 1, new, outputs.write(t, new[0])

    # XLA needs `maximum_iterations` as the size of the stacks that the gradient uses.
    _, state, outputs = tf.while_loop(lambda t, *_: t < runs, body, (0, state, outputs), maximum_iterations=steps + 1)
    outputs = outputs.stack()[:-1]
    if valid is not None:
        # Steps before the first valid step of a row have no output to repeat, so their output is 0.
        shown = valid if options.zero_output_for_mask else tf.cumsum(tf.cast(valid, tf.int32)) > 0
        outputs = tf.where(shown, outputs, tf.zeros([], outputs.dtype))
    outputs = tf.ensure_shape(tf.transpose(outputs, [1, 0, 2]), [*operands.inputs.shape[:2], state[0].shape[1]])
    return tuple(tf.cast(x, operands.inputs.dtype) for x in (outputs, *state))


def _valid(options: Options, steps: int | tf.Tensor) -> tf.Tensor | None:
    """Returns whether each step of each row is valid, `[T,B,1]` in the order of the inputs; None if all are."""
    conditions = []
    if options.sequence_lengths is not None:
        conditions.append(tf.sequence_mask(options.sequence_lengths, steps))
    if options.mask is not None:
        conditions.append(options.mask)
    if not conditions:
        return None
    return tf.transpose(tf.reduce_all(tf.stack(conditions), axis=0))[:, :, None]

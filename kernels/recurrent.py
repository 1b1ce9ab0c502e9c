"""Recurrent layers over whole sequences: LSTM and GRU."""

import functools

import tensorflow as tf

from ikelos.kernels import dispatch, signatures
from ikelos.kernels import recurrent_arguments as arguments
from ikelos.kernels.gradients import dense, second_gradients
from ikelos.kernels.recurrent_arguments import STATES, LayerNorm, Operands, Options
from ikelos.kernels.reference import recurrent as reference


# The function has no control flow on tensors, and AutoGraph would warn about code that it cannot convert.
@tf.autograph.experimental.do_not_convert
def lstm(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor | None = None,
    initial_state: tuple[tf.Tensor, tf.Tensor] | None = None,
    *,
    sequence_lengths: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    go_backwards: bool = False,
    zero_output_for_mask: bool = False,
    recurrent_dropout_mask: tf.Tensor | None = None,
    layer_norm: LayerNorm | None = None,
    save_for_gradient: bool = True,
    implementation: str | None = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """Runs an LSTM over a whole sequence (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000).

    Weights are laid out as in `keras.layers.LSTM`: gates in the order input, forget, candidate, output. The gates use
    the logistic sigmoid, the candidate and the output tanh. Half-precision inputs are computed in float32, the states
    between steps too, and results are rounded once at the end. The op can be differentiated any number of times with
    respect to `inputs`, `kernel`, `recurrent_kernel`, `bias`, `initial_state` and the tensors of `layer_norm`. The
    reference computes the second derivative, which XLA cannot compile.

    A step of a row is valid if it lies within the row's length and its mask is true. Invalid steps leave the states
    unchanged. Their `inputs` must still be finite, because their weight is 0, and 0 times NaN is NaN.

    U must be known at trace time; B, T and D need not be, and may be 0.

    Args:
        inputs: `[B,T,D]`, floating.
        kernel: `[D,4U]`, in the dtype of `inputs`, as all floating arguments.
        recurrent_kernel: `[U,4U]`.
        bias: `[4U]` or None.
        initial_state: Hidden state and cell state, each `[B,U]`; None for zeros.
        sequence_lengths: int `[B]`, number of steps of each row, from 0 to T. If a length turns out
            to be out of range when the graph runs, the native kernel raises an error and the reference clips the
            length.
        mask: Boolean or int `[B,T]`; False marks an invalid step.
        go_backwards: Whether to process the steps from last to first. Outputs are in processing order, while
            `sequence_lengths` and `mask` follow the order of `inputs`, so a short row starts with invalid steps.
        zero_output_for_mask: Whether the output of an invalid step is 0. Otherwise the output of the last valid
            step is repeated; before the first valid step it is 0.
        recurrent_dropout_mask: Factors `[B,4,U]`, or `[B,U]` for all gates, that multiply the hidden state before its
            product with `recurrent_kernel`; the same at every step (Gal & Ghahramani 2016). The factors get no
            gradient.
        layer_norm: The scales for normalised gates, an `ikelos.kernels.LayerNorm`; None for plain gates.
        save_for_gradient: Whether the native kernel keeps the values that the gradient needs. False takes less memory
            and time; a gradient is still available, but runs the forward pass once more.
        implementation: `"native"` (float32, bfloat16 and float16 on CPU), `"reference"` (plain TensorFlow), or None for
            the choice of the scope `ikelos.kernels.use`. Outside of any scope, None runs the native kernel if there is
            one.

    Returns:
        The hidden states `[B,T,U]`, and a pair of the hidden and the cell state after the last valid step, each
        `[B,U]`.

    Raises:
        ValueError: If ranks, sizes or dtypes do not match, a number is out of range, or the requested implementation
            has no kernel for these inputs; the message names the argument.
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If shapes or lengths that are unknown at trace time turn out to be invalid.

    Example:
        >>> kernel, recurrent_kernel, bias = tf.ones([8, 64]), tf.ones([16, 64]), tf.zeros([64])
        >>> outputs, (hidden, cell) = kernels.lstm(tf.ones([2, 5, 8]), kernel, recurrent_kernel, bias)
        >>> outputs.shape, cell.shape
        (TensorShape([2, 5, 16]), TensorShape([2, 16]))
    """
    outputs, hidden, cell = _run(
        "lstm",
        (inputs, kernel, recurrent_kernel, bias, initial_state, layer_norm),
        (sequence_lengths, mask, recurrent_dropout_mask),
        (go_backwards, zero_output_for_mask, None),
        save_for_gradient,
        implementation,
    )
    return outputs, (hidden, cell)


@tf.autograph.experimental.do_not_convert
def gru(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor | None = None,
    initial_state: tf.Tensor | None = None,
    *,
    reset_after: bool = True,
    sequence_lengths: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    go_backwards: bool = False,
    zero_output_for_mask: bool = False,
    recurrent_dropout_mask: tf.Tensor | None = None,
    layer_norm: LayerNorm | None = None,
    save_for_gradient: bool = True,
    implementation: str | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs a GRU over a whole sequence (Cho et al. 2014, https://arxiv.org/abs/1406.1078).

    Weights are laid out as in `keras.layers.GRU`: gates in the order update, reset, candidate. Everything else is as in
    `ikelos.kernels.lstm`, with one state instead of two.

    Args:
        inputs: `[B,T,D]`, floating.
        kernel: `[D,3U]`, in the dtype of `inputs`, as all floating arguments.
        recurrent_kernel: `[U,3U]`.
        bias: `[3U]`, or with `reset_after` `[2,3U]` (one row for the product with `kernel`, one for the product with
            `recurrent_kernel`); or None.
        initial_state: Hidden state `[B,U]`; None for zeros.
        reset_after: Whether the candidate's reset gate is applied after the product with `recurrent_kernel`, as in
            cuDNN and by default in Keras, or to the hidden state before it.
        sequence_lengths: As in `lstm`.
        mask: As in `lstm`.
        go_backwards: As in `lstm`.
        zero_output_for_mask: As in `lstm`.
        recurrent_dropout_mask: As in `lstm`, `[B,3,U]` or `[B,U]`. Without `reset_after` the candidate's factors and
            the reset gate both multiply the hidden state. The part of the hidden state that the update gate keeps is
            not masked.
        layer_norm: As in `lstm`, without scale and offset of a cell state. Requires `reset_after`.
        save_for_gradient: As in `lstm`.
        implementation: As in `lstm`.

    Returns:
        The hidden states `[B,T,U]`, and the hidden state after the last valid step, `[B,U]`.

    Raises:
        ValueError: If ranks, sizes or dtypes do not match, a number is out of range, `layer_norm` is given without
            `reset_after`, or the requested implementation has no kernel for these inputs; the message names the
            argument.
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If shapes or lengths that are unknown at trace time turn out to be invalid.

    Example:
        >>> outputs, hidden = kernels.gru(tf.ones([2, 5, 8]), tf.ones([8, 48]), tf.ones([16, 48]))
        >>> outputs.shape, hidden.shape
        (TensorShape([2, 5, 16]), TensorShape([2, 16]))
    """
    return _run(
        "gru",
        (inputs, kernel, recurrent_kernel, bias, initial_state, layer_norm),
        (sequence_lengths, mask, recurrent_dropout_mask),
        (go_backwards, zero_output_for_mask, bool(reset_after)),
        save_for_gradient,
        implementation,
    )


# Inputs of the native op, in its order. Each is a list of at most one tensor.
OPTIONAL_INPUTS = ("sequence_lengths", "mask", "recurrent_dropout_mask")
# Its attributes, in its order, but for the last, `save_for_gradient`.
ATTRIBUTES = {
    "lstm": ("go_backwards", "zero_output_for_mask", "epsilon"),
    "gru": ("go_backwards", "zero_output_for_mask", "epsilon", "reset_after"),
}


def _run(
    op_name: str, operands: tuple, optional: tuple, switches: tuple, save_for_gradient: bool, implementation: str | None
):
    """Returns outputs and last states.

    Args:
        op_name: `"lstm"` or `"gru"`.
        operands: The parameters of `arguments.operands` after the op's name, but for `reset_after`.
        optional: The `OPTIONAL_INPUTS`.
        switches: `go_backwards`, `zero_output_for_mask` and `reset_after`, which is None for LSTM.
        save_for_gradient: As in `lstm`.
        implementation: As in `lstm`.
    """
    inputs, kernel, recurrent_kernel, bias, initial_state, layer_norm = operands
    go_backwards, zero_output_for_mask, reset_after = switches
    states = _states(op_name, initial_state)
    given = (inputs, kernel, recurrent_kernel, *states, bias, *optional)
    # Layer norms are no plain option: calls with them are checked each time.
    others = (initial_state is None, *switches, layer_norm, save_for_gradient, implementation)
    signature = signatures.signature(op_name, given, others)
    native = functools.partial(_native, op_name)
    results = signatures.repeat(signature, given, native)
    if results is not None:
        return results[:-1]

    checked = arguments.operands(
        op_name, inputs, kernel, recurrent_kernel, bias, initial_state, layer_norm, reset_after
    )
    options = arguments.options(
        checked,
        **dict(zip(OPTIONAL_INPUTS, optional, strict=True)),
        go_backwards=go_backwards,
        zero_output_for_mask=zero_output_for_mask,
        layer_norm=layer_norm,
        reset_after=reset_after,
    )
    chosen = dispatch.choose(
        op_name,
        implementation,
        dtype=checked.inputs.dtype,
        shape=checked.inputs.shape,
        device=checked.inputs.device,
    )
    if chosen == "reference":
        return getattr(reference, op_name)(checked, options)
    results = _forward(op_name, checked, options, save_for_gradient)
    signatures.remember(signature, given, *_inputs_and_attributes(op_name, checked, options, save_for_gradient))
    return results[:-1]


def _states(op_name: str, initial_state) -> tuple:
    """Returns the initial states, in so far as they have the right form; None in the place of each other."""
    count = len(STATES[op_name])
    if count == 1:
        return (initial_state,)
    is_pair = isinstance(initial_state, list | tuple) and len(initial_state) == count
    return tuple(initial_state) if is_pair else (None,) * count


def _inputs_and_attributes(op_name: str, operands: Operands, options: Options, save_for_gradient: bool):
    """Returns the inputs of the native op but those of `layer_norm`, None if not given, and its attributes."""
    bias = operands.bias[0] if operands.bias else None
    inputs = (*operands[:3], *operands.initial_state, bias, *(getattr(options, name) for name in OPTIONAL_INPUTS))
    attributes = tuple(getattr(options, name) for name in ATTRIBUTES[op_name])
    return inputs, (*attributes, bool(save_for_gradient))


def _native(op_name: str, inputs: signatures.Tensors, attributes: tuple, layer_norm: tuple = ()):
    """Returns the outputs of the native op; the last one holds the values saved for the gradient."""
    first = 3 + len(STATES[op_name])
    optional = ([] if x is None else [x] for x in inputs[first:])
    op = getattr(dispatch.library(), f"ikelos_{op_name}")
    return op(*inputs[:first], *optional, list(layer_norm), *attributes)


def _forward(op_name: str, operands: Operands, options: Options, save_for_gradient: bool):
    """Returns the outputs of the native op, for checked arguments."""
    inputs, attributes = _inputs_and_attributes(op_name, operands, options, save_for_gradient)
    return _native(op_name, inputs, attributes, operands.layer_norm)


def _op_arguments(op_name: str, operands: Operands, options: Options) -> dict[str, object]:
    """Returns the inputs and attributes of the gradient op that the native op has too."""
    optional = {name: getattr(options, name) for name in OPTIONAL_INPUTS}
    return {
        "inputs": operands.inputs,
        "kernel": operands.kernel,
        "recurrent_kernel": operands.recurrent_kernel,
        **dict(zip(STATES[op_name], operands.initial_state, strict=True)),
        "bias": list(operands.bias),
        **{name: [] if x is None else [x] for name, x in optional.items()},
        "layer_norm": list(operands.layer_norm),
        **{name: getattr(options, name) for name in ATTRIBUTES[op_name]},
    }


def _operands_of(op_name: str, op) -> tuple[Operands, Options, list[tf.Tensor]]:
    """Returns the operands and options that an op was called with, and its further inputs."""
    remaining = list(op.inputs)

    def take(count):
        taken = tuple(remaining[:count])
        del remaining[:count]
        return taken

    inputs, kernel, recurrent_kernel = take(3)
    state, bias = take(len(STATES[op_name])), take(op.get_attr("num_bias"))
    optional = {name: take(op.get_attr(f"num_{name}")) for name in OPTIONAL_INPUTS}
    operands = Operands(inputs, kernel, recurrent_kernel, state, bias, take(op.get_attr("num_layer_norm")))
    tensors = {name: x[0] for name, x in optional.items() if x}
    return operands, Options(**tensors, **{name: op.get_attr(name) for name in ATTRIBUTES[op_name]}), remaining


def _insert_missing_gradients(operand_grads: list, operands: Operands, options: Options) -> list:
    """Returns the gradients of all inputs of the op, given those of the operands; None for the optional inputs."""
    last = len(operand_grads) - len(operands.layer_norm)
    without_gradient = [None for name in OPTIONAL_INPUTS if getattr(options, name) is not None]
    return operand_grads[:last] + without_gradient + operand_grads[last:]


def _gradient(op_name: str, op, *output_grads):
    operands, options, _ = _operands_of(op_name, op)
    # Only this gradient uses the last output, so no gradient comes back through it.
    result_grads = [dense(grad, x) for grad, x in zip(output_grads[:-1], op.outputs[:-1], strict=True)]
    outputs, saved = op.outputs[0], op.outputs[-1]
    if not op.get_attr("save_for_gradient"):
        outputs, *_, saved = _forward(op_name, operands, options, save_for_gradient=True)
    operand_grads = getattr(dispatch.library(), f"ikelos_{op_name}_grad")(
        **_op_arguments(op_name, operands, options),
        outputs=outputs,
        saved=saved,
        **dict(zip(("outputs_grad", "hidden_grad", "cell_grad"), result_grads, strict=False)),
    )
    return _insert_missing_gradients(tf.nest.flatten(list(operand_grads)), operands, options)


def _second_gradient(op_name: str, op, *upstream):
    # Second derivatives are rare (gradient penalties), so the reference computes them and all higher derivatives. The
    # reference computes everything from the operands, so the gradients with respect to the operands already include the
    # paths through the op's inputs `outputs` and `saved`.
    operands, options, (_, _, *output_grads) = _operands_of(op_name, op)
    inputs = tf.nest.flatten(operands)
    gradients = second_gradients(
        lambda *inputs: getattr(reference, op_name)(tf.nest.pack_sequence_as(operands, inputs), options),
        inputs,
        output_grads,
        [dense(grad, x) for grad, x in zip(upstream, inputs, strict=True)],
    )
    operand_grads = _insert_missing_gradients(gradients[: len(inputs)], operands, options)
    return [*operand_grads, None, None, *gradients[len(inputs) :]]


for _op_name, _type in (("lstm", "IkelosLstm"), ("gru", "IkelosGru")):
    tf.RegisterGradient(_type)(functools.partial(_gradient, _op_name))
    tf.RegisterGradient(f"{_type}Grad")(functools.partial(_second_gradient, _op_name))

"""Recurrent layers over whole sequences: LSTM and GRU."""

import functools

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels import recurrent_arguments as arguments
from ikelos.kernels.gradients import dense, second_gradients
from ikelos.kernels.recurrent_arguments import STATES, LayerNorm, Operands, Options
from ikelos.kernels.reference import recurrent as reference


# It has no control flow on tensors, and AutoGraph would warn of what it cannot convert.
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
    """LSTM over a whole sequence (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000).

    Weights are laid out as in `keras.layers.LSTM`: gates in the order input, forget, candidate, output. The
    gates' activation is the logistic sigmoid, the others are tanh. Arithmetic is in float32 for half-precision inputs,
    also of the states from step to step; the results are rounded once at the end. Differentiable by `inputs`, `kernel`,
    `recurrent_kernel`, `bias`, `initial_state` and the tensors of `layer_norm`, any number of times; but XLA cannot
    compile the second derivative, which is the reference's.

    A step of a row is valid if it is below the row's length and its mask is true; the others leave the states as they
    are. What stands there in `inputs` must be finite all the same: its weight is 0, and 0 times NaN is NaN.

    U must be known when a graph is traced; B, T and D need not be, and may be 0.

    Args:
        inputs: `[B,T,D]`, floating.
        kernel: `[D,4U]`, of the type of `inputs`, as all floating arguments.
        recurrent_kernel: `[U,4U]`.
        bias: `[4U]` or None.
        initial_state: Hidden state and cell state, each `[B,U]`; None for zeros.
        sequence_lengths: int `[B]`, number of steps of each row, within 0 and T. Out of range, where only a running
            graph knows it, is an error natively and the nearest bound in the reference.
        mask: Boolean or int `[B,T]`.
        go_backwards: Whether to work from the last step to the first. Outputs are in the order of the work;
            `sequence_lengths` and `mask` are by position in `inputs`, so that a short row begins with invalid steps.
        zero_output_for_mask: Whether invalid steps put out 0. Otherwise they repeat the last valid step's output, 0
            before the first.
        recurrent_dropout_mask: Factors of the hidden state where it enters a gate's product with `recurrent_kernel`,
            `[B,4,U]`, or `[B,U]` for all gates; the same at all steps (Gal & Ghahramani 2016). It gets no gradient.
        layer_norm: The scales of normalised gates, a `ikelos.kernels.LayerNorm`; None for plain gates.
        save_for_gradient: Whether the native kernel keeps what the gradient needs. Without, it takes less memory and
            time, and a gradient that is asked for all the same works the sequence through once more.
        implementation: `"native"` (float32, bfloat16 and float16 on CPU), `"reference"` (plain TensorFlow), or None
            for the choice of the scope `ikelos.kernels.use`, and outside any for native where there is a kernel.

    Returns:
        The hidden states `[B,T,U]`, and the hidden and cell states after the last valid step, each `[B,U]`.

    Raises:
        ValueError: If ranks, sizes or dtypes do not fit, a number is out of its range, or there is no kernel
            of the implementation asked for; the message names the argument.
        ikelos.kernels.LibraryError: If native is asked for and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If shapes or lengths unknown until the graph runs are not right then.
    """
    operands = arguments.operands("lstm", inputs, kernel, recurrent_kernel, bias, initial_state, layer_norm)
    options = arguments.options(
        operands,
        sequence_lengths=sequence_lengths,
        mask=mask,
        go_backwards=go_backwards,
        zero_output_for_mask=zero_output_for_mask,
        recurrent_dropout_mask=recurrent_dropout_mask,
        layer_norm=layer_norm,
    )
    outputs, hidden, cell = _run("lstm", operands, options, save_for_gradient, implementation)
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
    """GRU over a whole sequence (Cho et al. 2014, https://arxiv.org/abs/1406.1078).

    Weights are laid out as in `keras.layers.GRU`: gates in the order update, reset, candidate. All else is as in
    `ikelos.kernels.lstm`, but for one state instead of two.

    Args:
        inputs: `[B,T,D]`, floating.
        kernel: `[D,3U]`, of the type of `inputs`, as all floating arguments.
        recurrent_kernel: `[U,3U]`.
        bias: `[3U]`, with `reset_after` `[2,3U]` (of the inputs' product and of the hidden state's); or None.
        initial_state: Hidden state `[B,U]`; None for zeros.
        reset_after: Whether the reset gate is applied after the candidate's product of the hidden state with
            `recurrent_kernel`, as cuDNN does and Keras by default, or before.
        sequence_lengths: As in `lstm`.
        mask: As in `lstm`.
        go_backwards: As in `lstm`.
        zero_output_for_mask: As in `lstm`.
        recurrent_dropout_mask: As in `lstm`, `[B,3,U]` or `[B,U]`. Without `reset_after` the candidate's factors and
            its reset gate both multiply the hidden state. What the update gate keeps of the hidden state is not masked.
        layer_norm: As in `lstm`, without a scale and an offset of the cell state. It needs `reset_after`.
        save_for_gradient: As in `lstm`.
        implementation: As in `lstm`.

    Returns:
        The hidden states `[B,T,U]`, and the hidden state after the last valid step, `[B,U]`.

    Raises:
        ValueError: As `lstm`.
        ikelos.kernels.LibraryError: As `lstm`.
        tf.errors.InvalidArgumentError: As `lstm`.
    """
    reset_after = bool(reset_after)
    operands = arguments.operands("gru", inputs, kernel, recurrent_kernel, bias, initial_state, layer_norm, reset_after)
    options = arguments.options(
        operands,
        sequence_lengths=sequence_lengths,
        mask=mask,
        go_backwards=go_backwards,
        zero_output_for_mask=zero_output_for_mask,
        recurrent_dropout_mask=recurrent_dropout_mask,
        layer_norm=layer_norm,
        reset_after=reset_after,
    )
    return _run("gru", operands, options, save_for_gradient, implementation)


# In the op's order of inputs: which of them there are is told by lists of one tensor or none.
LISTS = ("sequence_lengths", "mask", "recurrent_dropout_mask")
ATTRIBUTES = {
    "lstm": ("go_backwards", "zero_output_for_mask", "epsilon"),
    "gru": ("go_backwards", "zero_output_for_mask", "epsilon", "reset_after"),
}


def _run(op_name: str, operands: Operands, options: Options, save_for_gradient: bool, implementation: str | None):
    chosen = dispatch.choose(
        op_name,
        implementation,
        dtype=operands.inputs.dtype,
        shape=operands.inputs.shape,
        device=operands.inputs.device,
    )
    if chosen == "reference":
        return getattr(reference, op_name)(operands, options)
    return _forward(op_name, operands, options, save_for_gradient)[:-1]


def _forward(op_name: str, operands: Operands, options: Options, save_for_gradient: bool):
    """The native op's outputs; the last is what it saved."""
    op = getattr(dispatch.library(), f"ikelos_{op_name}")
    return op(**_named(op_name, operands, options), save_for_gradient=bool(save_for_gradient))


def _named(op_name: str, operands: Operands, options: Options) -> dict[str, object]:
    """The native op's inputs and attributes, also those of its gradient."""
    lists = {name: getattr(options, name) for name in LISTS}
    return {
        "inputs": operands.inputs,
        "kernel": operands.kernel,
        "recurrent_kernel": operands.recurrent_kernel,
        **dict(zip(STATES[op_name], operands.initial_state, strict=True)),
        "bias": list(operands.bias),
        **{name: [] if x is None else [x] for name, x in lists.items()},
        "layer_norm": list(operands.layer_norm),
        **{name: getattr(options, name) for name in ATTRIBUTES[op_name]},
    }


def _read(op_name: str, op) -> tuple[Operands, Options, list[tf.Tensor]]:
    """What `_named` was given, and the inputs after it."""
    rest = list(op.inputs)

    def take(count):
        taken = tuple(rest[:count])
        del rest[:count]
        return taken

    inputs, kernel, recurrent_kernel = take(3)
    state, bias = take(len(STATES[op_name])), take(op.get_attr("num_bias"))
    lists = {name: take(op.get_attr(f"num_{name}")) for name in LISTS}
    operands = Operands(inputs, kernel, recurrent_kernel, state, bias, take(op.get_attr("num_layer_norm")))
    given = {name: x[0] for name, x in lists.items() if x}
    return operands, Options(**given, **{name: op.get_attr(name) for name in ATTRIBUTES[op_name]}), rest


def _in_order_of_inputs(by_operands: list, operands: Operands, options: Options) -> list:
    """Gradients by the op's inputs of those by the operands, which are in the same order but for what has none."""
    last = len(by_operands) - len(operands.layer_norm)
    without = [None for name in LISTS if getattr(options, name) is not None]
    return by_operands[:last] + without + by_operands[last:]


def _gradient(op_name: str, op, *output_grads):
    operands, options, _ = _read(op_name, op)
    # Of what was saved there is no gradient: nobody else sees it.
    by_results = [dense(grad, x) for grad, x in zip(output_grads[:-1], op.outputs[:-1], strict=True)]
    outputs, saved = op.outputs[0], op.outputs[-1]
    if not op.get_attr("save_for_gradient"):
        outputs, *_, saved = _forward(op_name, operands, options, save_for_gradient=True)
    by_operands = getattr(dispatch.library(), f"ikelos_{op_name}_grad")(
        **_named(op_name, operands, options),
        outputs=outputs,
        saved=saved,
        **dict(zip(("outputs_grad", "hidden_grad", "cell_grad"), by_results, strict=False)),
    )
    return _in_order_of_inputs(tf.nest.flatten(list(by_operands)), operands, options)


def _second_gradient(op_name: str, op, *upstream):
    # Second derivatives are rare (gradient penalties), so they, and all beyond, are those of the reference. It computes
    # the outputs and what was saved from the operands, so all that flows through the op's inputs of those names is in
    # the gradients by these.
    operands, options, (_, _, *output_grads) = _read(op_name, op)
    inputs = tf.nest.flatten(operands)
    found = second_gradients(
        lambda *inputs: getattr(reference, op_name)(tf.nest.pack_sequence_as(operands, inputs), options),
        inputs,
        output_grads,
        [dense(grad, x) for grad, x in zip(upstream, inputs, strict=True)],
    )
    by_operands = _in_order_of_inputs(found[: len(inputs)], operands, options)
    return [*by_operands, None, None, *found[len(inputs) :]]


for _op_name, _type in (("lstm", "IkelosLstm"), ("gru", "IkelosGru")):
    tf.RegisterGradient(_type)(functools.partial(_gradient, _op_name))
    tf.RegisterGradient(f"{_type}Grad")(functools.partial(_second_gradient, _op_name))

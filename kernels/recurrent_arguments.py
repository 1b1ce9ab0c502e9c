"""What `ikelos.kernels.lstm` and `gru` take: checks, and the forms that both implementations take."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from ikelos.kernels.arguments import check_floating, lengths, number, tensor

GATES = {"lstm": 4, "gru": 3}
STATES = {"lstm": ("initial_hidden", "initial_cell"), "gru": ("initial_hidden",)}  # of the native op


class LayerNorm(NamedTuple):
    """Scales of normalised gates (Ba et al. 2016, https://arxiv.org/abs/1607.06450, supplement), for `lstm` and `gru`.

    The products of a step's inputs with `kernel` and of its hidden state with `recurrent_kernel` are each brought to
    mean 0 and variance 1 over all G gates of U units (G is 4 for LSTM, 3 for GRU) and multiplied by a scale, before the
    biases are added. An LSTM's cell state likewise, over its U units, where it enters the output, and an offset is
    added.

    Attributes:
        kernel_scale: `[G*U]`, of the type of the op's inputs, as the others.
        recurrent_scale: `[G*U]`.
        cell_scale: `[U]`, of LSTM alone.
        cell_offset: `[U]`, of LSTM alone.
        epsilon: Added to the variances, at least 0. The default is that of `keras.layers.LayerNormalization`.
    """

    kernel_scale: tf.Tensor
    recurrent_scale: tf.Tensor
    cell_scale: tf.Tensor | None = None
    cell_offset: tf.Tensor | None = None
    epsilon: float = 1e-3


class Operands(NamedTuple):
    """The arguments that have a gradient, checked, in the order of the native op's inputs: flat, they are tensors."""

    inputs: tf.Tensor
    kernel: tf.Tensor
    recurrent_kernel: tf.Tensor
    initial_state: tuple[tf.Tensor, ...]  # hidden and, of LSTM, cell
    bias: tuple[tf.Tensor, ...]  # one or none
    layer_norm: tuple[tf.Tensor, ...]  # kernel and recurrent scale and, of LSTM, cell scale and offset; or none


@dataclasses.dataclass(frozen=True)
class Options:
    """The arguments without a gradient, checked, in the forms and by the names of the native op's; None where there is
    no such thing."""

    go_backwards: bool = False
    zero_output_for_mask: bool = False
    epsilon: float = 0.0
    reset_after: bool | None = None  # of GRU alone
    sequence_lengths: tf.Tensor | None = None  # int32 [B]
    mask: tf.Tensor | None = None  # bool [B,T]
    recurrent_dropout_mask: tf.Tensor | None = None  # [B,G,U]


def operands(
    op_name: str,
    inputs,
    kernel,
    recurrent_kernel,
    bias,
    initial_state,
    layer_norm: LayerNorm | None,
    reset_after: bool | None = None,
) -> Operands:
    """The tensors, which fit each other as far as their shapes are known; `reset_after` is None for LSTM."""
    inputs = tensor("inputs", inputs)
    check_floating("inputs", inputs)
    if inputs.shape.rank != 3:
        raise ValueError(f"`inputs` must have rank 3, [batch, time, features]. Received: inputs.shape={inputs.shape}")
    recurrent_kernel = tensor("recurrent_kernel", recurrent_kernel)
    units = recurrent_kernel.shape[0] if recurrent_kernel.shape.rank == 2 else None
    if not units:
        raise ValueError(
            "`recurrent_kernel` must have rank 2 and a known number of rows, at least 1. "
            f"Received: recurrent_kernel.shape={recurrent_kernel.shape}"
        )
    columns = GATES[op_name] * units
    state = _initial_state(op_name, inputs, initial_state, units)
    # Without it everywhere, a loop cannot tell that its state keeps its shape.
    batches = [x.shape[0] for x in (inputs, *state.values()) if x.shape.rank]
    batch = next((size for size in batches if size is not None), None)
    dtype = inputs.dtype
    return Operands(
        inputs=_shaped("inputs", inputs, [batch, None, None]),
        kernel=_fitting("kernel", kernel, dtype, [inputs.shape[2], columns]),
        recurrent_kernel=_fitting("recurrent_kernel", recurrent_kernel, dtype, [units, columns]),
        initial_state=tuple(_fitting(name, x, dtype, [batch, units]) for name, x in state.items()),
        bias=() if bias is None else (_fitting("bias", bias, dtype, [2, columns] if reset_after else [columns]),),
        layer_norm=() if layer_norm is None else _layer_norm(op_name, layer_norm, dtype, units, reset_after),
    )


def options(
    given: Operands,
    *,
    sequence_lengths,
    mask,
    go_backwards: bool,
    zero_output_for_mask: bool,
    recurrent_dropout_mask,
    layer_norm: LayerNorm | None,
    reset_after: bool | None = None,
) -> Options:
    """The rest, which fits `given` as far as shapes are known."""
    batch, steps, _ = given.inputs.shape
    return Options(
        go_backwards=bool(go_backwards),
        zero_output_for_mask=bool(zero_output_for_mask),
        epsilon=0.0 if layer_norm is None else _epsilon(layer_norm.epsilon),
        reset_after=reset_after,
        sequence_lengths=lengths("sequence_lengths", sequence_lengths, batch, steps),
        mask=_mask(mask, [batch, steps]),
        recurrent_dropout_mask=_recurrent_dropout_mask(recurrent_dropout_mask, given),
    )


def _fitting(name: str, x, dtype: tf.DType, shape: list[int | None]) -> tf.Tensor:
    """`x` as a tensor of `dtype`, that of `inputs`, and of `shape` as far as it is known."""
    x = tensor(name, x)
    if x.dtype != dtype:
        raise ValueError(
            f"`{name}` must be of the type of `inputs`. "
            f"Received: {name}.dtype={x.dtype.name}, inputs.dtype={dtype.name}"
        )
    return _shaped(name, x, shape)


def _shaped(name: str, x: tf.Tensor, shape: list[int | None]) -> tf.Tensor:
    if not x.shape.is_compatible_with(shape):
        raise ValueError(f"`{name}` must have shape {shape}. Received: {name}.shape={x.shape}")
    return x if x.shape.is_fully_defined() else tf.ensure_shape(x, shape)


def _initial_state(op_name: str, inputs: tf.Tensor, given, units: int) -> dict[str, tf.Tensor]:
    """By the name in errors; zeros if there is none."""
    count = len(STATES[op_name])
    if given is None:
        batch = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]
        return {f"initial_state[{i}]": tf.zeros([batch, units], inputs.dtype) for i in range(count)}
    if count == 1:
        return {"initial_state": tensor("initial_state", given)}
    if not isinstance(given, list | tuple) or len(given) != count:
        raise ValueError(f"`initial_state` must be a pair, hidden and cell state. Received: initial_state={given!r}")
    names = [f"initial_state[{i}]" for i in range(count)]
    return {name: tensor(name, x) for name, x in zip(names, given, strict=True)}


def _layer_norm(
    op_name: str, given: LayerNorm, dtype: tf.DType, units: int, reset_after: bool | None
) -> tuple[tf.Tensor, ...]:
    if not isinstance(given, LayerNorm):
        raise ValueError(f"`layer_norm` must be an ikelos.kernels.LayerNorm. Received: layer_norm={given!r}")
    if reset_after is False:
        raise ValueError(
            "`layer_norm` of GRU needs `reset_after`: without, the candidate has a product of its own. "
            "Received: reset_after=False"
        )
    columns, found = GATES[op_name] * units, []
    for name in ("kernel_scale", "recurrent_scale", "cell_scale", "cell_offset"):
        x, of_cell = getattr(given, name), name.startswith("cell")
        wanted = op_name == "lstm" or not of_cell
        if wanted != (x is not None):
            expected = "must be given" if wanted else "is of LSTM alone"
            raise ValueError(f"`layer_norm.{name}` {expected}. Received: layer_norm.{name}={x}")
        if wanted:
            found.append(_fitting(f"layer_norm.{name}", x, dtype, [units if of_cell else columns]))
    return tuple(found)


def _epsilon(x: float) -> float:
    if not number("layer_norm.epsilon", x) >= 0:
        raise ValueError(f"`layer_norm.epsilon` must be at least 0. Received: layer_norm.epsilon={x}")
    return float(x)


def _mask(x, shape: list[int | None]) -> tf.Tensor | None:
    """Boolean `[B,T]`."""
    if x is None:
        return None
    x = tensor("mask", x)
    if not (x.dtype.is_bool or x.dtype.is_integer):
        raise ValueError(f"`mask` must be boolean or hold integers. Received: mask.dtype={x.dtype.name}")
    return tf.cast(_shaped("mask", x, shape), tf.bool)


def _recurrent_dropout_mask(x, given: Operands) -> tf.Tensor | None:
    """`[B,G,U]`."""
    if x is None:
        return None
    units, columns = given.recurrent_kernel.shape
    gates = columns // units
    x = tensor("recurrent_dropout_mask", x)
    of_all = x.shape.rank == 2
    shape = [given.inputs.shape[0], units] if of_all else [given.inputs.shape[0], gates, units]
    x = _fitting("recurrent_dropout_mask", x, given.inputs.dtype, shape)
    return tf.repeat(x[:, None], gates, axis=1) if of_all else x

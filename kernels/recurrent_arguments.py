"""The arguments of `ikelos.kernels.lstm` and `gru`, checked and in the form that both implementations take."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from ikelos.kernels.arguments import check_floating, lengths, number, tensor

GATES = {"lstm": 4, "gru": 3}
STATES = {"lstm": ("initial_hidden", "initial_cell"), "gru": ("initial_hidden",)}  # of the native op


class LayerNorm(NamedTuple):
    """Scales of normalised gates (Ba et al. 2016, https://arxiv.org/abs/1607.06450, supplement), for `lstm` and `gru`.

    In each step, the product of the inputs with `kernel` and the product of the hidden state with `recurrent_kernel`
    are normalised separately, to mean 0 and variance 1 over all G gates of U units (G is 4 for LSTM, 3 for GRU). Then
    they are multiplied by a scale, before the biases are added. For the output, an LSTM's cell state is normalised over
    its U units, multiplied by a scale and shifted by an offset.

    Attributes:
        kernel_scale: `[G*U]`, in the dtype of the op's inputs, like all tensors here.
        recurrent_scale: `[G*U]`.
        cell_scale: `[U]`, for LSTM only.
        cell_offset: `[U]`, for LSTM only.
        epsilon: Number added to the variances, at least 0. The default is that of `keras.layers.LayerNormalization`.
    """

    kernel_scale: tf.Tensor
    recurrent_scale: tf.Tensor
    cell_scale: tf.Tensor | None = None
    cell_offset: tf.Tensor | None = None
    epsilon: float = 1e-3


class Operands(NamedTuple):
    """Checked arguments that have a gradient, in the order of the native op's inputs."""

    inputs: tf.Tensor
    kernel: tf.Tensor
    recurrent_kernel: tf.Tensor
    initial_state: tuple[tf.Tensor, ...]  # the hidden and, for LSTM, the cell state
    bias: tuple[tf.Tensor, ...]  # one or none
    layer_norm: tuple[tf.Tensor, ...]  # kernel_scale, recurrent_scale, for LSTM cell_scale, cell_offset


@dataclasses.dataclass(frozen=True)
class Options:
    """Checked arguments that get no gradient, in the form and under the names of the native op; None if absent."""

    go_backwards: bool = False
    zero_output_for_mask: bool = False
    epsilon: float = 0.0
    reset_after: bool | None = None  # for GRU only
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
    """Returns the arguments that have a gradient, as tensors; `reset_after` is None for LSTM.

    Raises:
        ValueError: If dtypes or known shapes do not match.
    """
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
    # If one tensor has a known batch size, all get it, because the static shapes of a while loop's states must not
    # change.
    batches = [x.shape[0] for x in (inputs, *state.values()) if x.shape.rank]
    batch = next((size for size in batches if size is not None), None)
    dtype = inputs.dtype
    return Operands(
        inputs=_ensure_shape("inputs", inputs, [batch, None, None]),
        kernel=_checked_tensor("kernel", kernel, dtype, [inputs.shape[2], columns]),
        recurrent_kernel=_checked_tensor("recurrent_kernel", recurrent_kernel, dtype, [units, columns]),
        initial_state=tuple(_checked_tensor(name, x, dtype, [batch, units]) for name, x in state.items()),
        bias=()
        if bias is None
        else (_checked_tensor("bias", bias, dtype, [2, columns] if reset_after else [columns]),),
        layer_norm=() if layer_norm is None else _layer_norm(op_name, layer_norm, dtype, units, reset_after),
    )


def options(
    tensors: Operands,
    *,
    sequence_lengths,
    mask,
    go_backwards: bool,
    zero_output_for_mask: bool,
    recurrent_dropout_mask,
    layer_norm: LayerNorm | None,
    reset_after: bool | None = None,
) -> Options:
    """Returns the arguments that get no gradient.

    Raises:
        ValueError: If a dtype is wrong, a known shape does not match those of `tensors`, or a number is out of range.
    """
    batch, steps, _ = tensors.inputs.shape
    return Options(
        go_backwards=bool(go_backwards),
        zero_output_for_mask=bool(zero_output_for_mask),
        epsilon=0.0 if layer_norm is None else _epsilon(layer_norm.epsilon),
        reset_after=reset_after,
        sequence_lengths=lengths("sequence_lengths", sequence_lengths, batch, steps),
        mask=_mask(mask, [batch, steps]),
        recurrent_dropout_mask=_recurrent_dropout_mask(recurrent_dropout_mask, tensors),
    )


def _checked_tensor(name: str, x, dtype: tf.DType, shape: list[int | None]) -> tf.Tensor:
    """Returns `x` as a tensor of the dtype `dtype` and of shape `shape`, where None is any size.

    Raises:
        ValueError: If `x` has another dtype or is known to have another shape.
        tf.errors.InvalidArgumentError: When the graph runs, if the shape turns out to be another.
    """
    x = tensor(name, x)
    if x.dtype != dtype:
        raise ValueError(
            f"`{name}` must have the dtype of `inputs`. "
            f"Received: {name}.dtype={x.dtype.name}, inputs.dtype={dtype.name}"
        )
    return _ensure_shape(name, x, shape)


def _ensure_shape(name: str, x: tf.Tensor, shape: list[int | None]) -> tf.Tensor:
    if not x.shape.is_compatible_with(shape):
        raise ValueError(f"`{name}` must have shape {shape}. Received: {name}.shape={x.shape}")
    return x if x.shape.is_fully_defined() else tf.ensure_shape(x, shape)


def _initial_state(op_name: str, inputs: tf.Tensor, initial_state, units: int) -> dict[str, tf.Tensor]:
    """Returns the initial states by their names in error messages; zeros if `initial_state` is None."""
    count = len(STATES[op_name])
    if initial_state is None:
        batch = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]
        return {f"initial_state[{i}]": tf.zeros([batch, units], inputs.dtype) for i in range(count)}
    if count == 1:
        return {"initial_state": tensor("initial_state", initial_state)}
    if not isinstance(initial_state, list | tuple) or len(initial_state) != count:
        raise ValueError(
            f"`initial_state` must be a pair, hidden and cell state. Received: initial_state={initial_state!r}"
        )
    names = [f"initial_state[{i}]" for i in range(count)]
    return {name: tensor(name, x) for name, x in zip(names, initial_state, strict=True)}


def _layer_norm(
    op_name: str, layer_norm: LayerNorm, dtype: tf.DType, units: int, reset_after: bool | None
) -> tuple[tf.Tensor, ...]:
    if not isinstance(layer_norm, LayerNorm):
        raise ValueError(f"`layer_norm` must be an ikelos.kernels.LayerNorm. Received: layer_norm={layer_norm!r}")
    if reset_after is False:
        raise ValueError(
            "`reset_after` must be True with `layer_norm`, because without it the candidate's product cannot be "
            "normalised together with that of the gates. Received: reset_after=False"
        )
    columns, tensors = GATES[op_name] * units, []
    for name in ("kernel_scale", "recurrent_scale", "cell_scale", "cell_offset"):
        x, of_cell = getattr(layer_norm, name), name.startswith("cell")
        wanted = op_name == "lstm" or not of_cell
        if wanted != (x is not None):
            expected = "must be a tensor" if wanted else "must be None for GRU"
            raise ValueError(f"`layer_norm.{name}` {expected}. Received: layer_norm.{name}={x}")
        if wanted:
            tensors.append(_checked_tensor(f"layer_norm.{name}", x, dtype, [units if of_cell else columns]))
    return tuple(tensors)


def _epsilon(x: float) -> float:
    if not number("layer_norm.epsilon", x) >= 0:
        raise ValueError(f"`layer_norm.epsilon` must be at least 0. Received: layer_norm.epsilon={x}")
    return float(x)


def _mask(x, shape: list[int | None]) -> tf.Tensor | None:
    """Returns the mask as boolean `[B,T]`; None for None."""
    if x is None:
        return None
    x = tensor("mask", x)
    if not (x.dtype.is_bool or x.dtype.is_integer):
        raise ValueError(f"`mask` must be boolean or hold integers. Received: mask.dtype={x.dtype.name}")
    return tf.cast(_ensure_shape("mask", x, shape), tf.bool)


def _recurrent_dropout_mask(x, tensors: Operands) -> tf.Tensor | None:
    """Returns the mask as `[B,G,U]`; None for None."""
    if x is None:
        return None
    units, columns = tensors.recurrent_kernel.shape
    gates = columns // units
    x = tensor("recurrent_dropout_mask", x)
    shared = x.shape.rank == 2
    shape = [tensors.inputs.shape[0], units] if shared else [tensors.inputs.shape[0], gates, units]
    x = _checked_tensor("recurrent_dropout_mask", x, tensors.inputs.dtype, shape)
    return tf.repeat(x[:, None], gates, axis=1) if shared else x

"""Recurrent layers over whole sequences."""

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels.reference import recurrent as reference


# It has no control flow on tensors, and AutoGraph would warn of what it cannot convert.
@tf.autograph.experimental.do_not_convert
def lstm(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor | None,
    initial_state: tuple[tf.Tensor, tf.Tensor],
    *,
    mask: tf.Tensor | None = None,
    implementation: str | None = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """LSTM over a whole sequence (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000).

    Weights are laid out as in `keras.layers.LSTM`: gates in the order input, forget, candidate, output. The
    gates' activation is the logistic sigmoid, the others are tanh.

    Args:
        inputs: `[B,T,D]`, floating. T may be 0, except where XLA compiles the reference.
        kernel: `[D,4U]`.
        recurrent_kernel: `[U,4U]`.
        bias: `[4U]` or None.
        initial_state: Hidden state and cell state, each `[B,U]`.
        mask: Boolean or int `[B,T]`; where it is False or 0 the state is carried on and the last valid step's output is
            repeated, 0 before the first one.
        implementation: `"native"`, `"reference"`, or None for `ikelos.kernels.use`'s choice.

    Returns:
        The hidden states `[B,T,U]`, and the final hidden and cell states, each `[B,U]`.

    Raises:
        ValueError: If ranks, sizes or dtypes do not fit, or there is no kernel of the implementation asked for; the
            message names the argument.
    """
    inputs = tf.convert_to_tensor(inputs, name="inputs")
    kernel, recurrent_kernel = tf.convert_to_tensor(kernel), tf.convert_to_tensor(recurrent_kernel)
    bias = None if bias is None else tf.convert_to_tensor(bias)
    hidden, cell = (tf.convert_to_tensor(state) for state in initial_state)
    if inputs.shape.rank != 3:
        raise ValueError(f"`inputs` must have rank 3, [batch, time, features]. Received: inputs.shape={inputs.shape}")
    if recurrent_kernel.shape.rank != 2 or recurrent_kernel.shape[0] is None:
        raise ValueError(
            "`recurrent_kernel` must have rank 2 and a known size. "
            f"Received: recurrent_kernel.shape={recurrent_kernel.shape}"
        )
    units = recurrent_kernel.shape[0]
    expected = {
        "inputs": (inputs, [None, None, None]),
        "kernel": (kernel, [inputs.shape[-1], 4 * units]),
        "recurrent_kernel": (recurrent_kernel, [units, 4 * units]),
        "initial_state[0]": (hidden, [inputs.shape[0], units]),
        "initial_state[1]": (cell, [inputs.shape[0], units]),
    }
    if bias is not None:
        expected["bias"] = (bias, [4 * units])
    for name, (x, shape) in expected.items():
        if not x.dtype.is_floating or x.dtype != inputs.dtype:
            raise ValueError(
                f"`{name}` must be of a floating type, the same as `inputs`. "
                f"Received: {name}.dtype={x.dtype.name}, inputs.dtype={inputs.dtype.name}"
            )
        _check_shape(name, x, shape)
    if mask is not None:
        mask = tf.convert_to_tensor(mask, name="mask")
        if not (mask.dtype.is_bool or mask.dtype.is_integer):
            raise ValueError(f"`mask` must be boolean or hold integers. Received: mask.dtype={mask.dtype.name}")
        _check_shape("mask", mask, inputs.shape[:2])
        mask = tf.cast(mask, tf.bool)
    dispatch.choose("lstm", implementation, dtype=inputs.dtype, shape=inputs.shape)
    # Without a known batch size in both, the loop cannot tell that its state keeps its shape.
    inputs = tf.ensure_shape(inputs, [hidden.shape[0], None, None])
    hidden, cell = (tf.ensure_shape(state, [inputs.shape[0], units]) for state in (hidden, cell))
    return reference.lstm(inputs, kernel, recurrent_kernel, bias, (hidden, cell), mask)


def _check_shape(name: str, x: tf.Tensor, shape) -> None:
    if not x.shape.is_compatible_with(shape):
        raise ValueError(f"`{name}` must have shape {shape}. Received: {name}.shape={x.shape}")

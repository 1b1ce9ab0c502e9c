"""The gated activation of SwiGLU."""

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels.arguments import check_floating, tensor
from ikelos.kernels.gradients import second_gradients
from ikelos.kernels.reference import swiglu as reference
from ikelos.kernels.reference.shapes import size_of, sizes, with_shape


# The function has no control flow on tensors, so AutoGraph has nothing to convert.
@tf.autograph.experimental.do_not_convert
def swiglu(gate, up, implementation: str | None = None) -> tf.Tensor:
    """Multiplies `up` by the SiLU of `gate`: `gate * sigmoid(gate) * up` (Shazeer 2020, equation 5).

    Half-precision inputs are computed in float32 and rounded once at the end. The native kernel passes over memory
    once, forward and backward, and keeps only its inputs for the gradient. The op can be differentiated any number of
    times.

    Args:
        gate: Floating `[..., F]`.
        up: Tensor of the shape and dtype of `gate`.
        implementation: `"native"` (float32, bfloat16 and float16 on CPU), `"reference"` (plain TensorFlow), or None for
            the choice of the scope `ikelos.kernels.use`. Outside of any scope, None runs the native kernel if there is
            one.

    Returns:
        `[..., F]` in the dtype of `gate`. The result does not depend on the number of threads.

    Raises:
        ValueError: If a shape or a dtype is invalid, or native was requested and has no kernel for these inputs
            (`ikelos.kernels.explain` returns the reason).
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If a shape that is unknown at trace time turns out to be invalid.

    Example:
        >>> kernels.swiglu([[0.0, 1.0, -1.0]], [[2.0, 2.0, 2.0]]).numpy().round(4)
        array([[ 0.    ,  1.4621, -0.5379]], dtype=float32)
    """
    gate, up = tensor("gate", gate), tensor("up", up)
    _check(gate, up)
    if not (gate.shape.is_fully_defined() and up.shape.is_fully_defined()):
        # Rows are flattened and the reference broadcasts: neither would notice.
        up = with_shape(up, tf.shape(gate), "`up` must have the shape of `gate`. Received: up.shape, gate.shape")
    if dispatch.choose("swiglu", implementation, dtype=gate.dtype, shape=gate.shape, device=gate.device) == "reference":
        return reference.swiglu(gate, up)
    output = dispatch.library().ikelos_swiglu(gate=_rows(gate), up=_rows(up))
    return tf.reshape(output, tf.shape(gate) if gate.shape.rank is None else sizes(gate))


def _rows(x: tf.Tensor) -> tf.Tensor:
    """Returns `x [..., F]` as `[R,F]`, the shape that the op takes."""
    columns = tf.shape(x)[-1] if x.shape.rank is None else size_of(x, -1)
    # Where there are no columns, TensorFlow cannot infer the number of rows: one column for no rows.
    return tf.reshape(x, [-1, max(columns, 1) if isinstance(columns, int) else tf.maximum(columns, 1)])


def _check(gate: tf.Tensor, up: tf.Tensor) -> None:
    check_floating("gate", gate)
    if up.dtype != gate.dtype:
        raise ValueError(
            f"`up` must have the dtype of `gate`. Received: up.dtype={up.dtype.name}, gate.dtype={gate.dtype.name}"
        )
    if not up.shape.is_compatible_with(gate.shape):
        raise ValueError(f"`up` must have the shape of `gate`. Received: up.shape={up.shape}, gate.shape={gate.shape}")


@tf.RegisterGradient("IkelosSwiglu")
def _gradient(op, output_grad):
    gate, up = op.inputs
    return list(dispatch.library().ikelos_swiglu_grad(gate=gate, up=up, output_grad=output_grad))


@tf.RegisterGradient("IkelosSwigluGrad")
def _second_gradient(op, *upstream):
    # Second derivatives are rare (gradient penalties), so the reference computes them and all higher derivatives.
    gate, up, output_grad = op.inputs
    return second_gradients(lambda gate, up: [reference.swiglu(gate, up)], [gate, up], [output_grad], list(upstream))

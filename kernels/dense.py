"""Dense products of a few rows, as in decoding."""

from collections.abc import Sequence

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels.arguments import arithmetic, check_floating, tensor
from ikelos.kernels.gradients import dense as dense_gradient
from ikelos.kernels.reference import dense as reference


# Neither function has control flow on tensors, and AutoGraph would warn about code that it cannot convert.
@tf.autograph.experimental.do_not_convert
def dense(x: tf.Tensor, kernels: Sequence[tf.Tensor], *, implementation: str | None = None) -> list[tf.Tensor]:
    """Multiplies a few rows by one or more matrices in one op.

    Up to 16 rows, B times T, the native kernel reads each matrix once and does not rearrange it, because that reading
    takes most of the time. For many rows use `tf.matmul`. Half-precision inputs are summed in float32 and
    rounded once. The op can be differentiated any number of times.

    Args:
        x: Floating `[B,T,D]`.
        kernels: One to three matrices `[D,U]`, each with its U, in the dtype of `x`.
        implementation: `"native"` (float32, bfloat16 and float16 on CPU), `"reference"` (plain TensorFlow), or None for
            the choice of the scope `ikelos.kernels.use`. Outside of any scope, None runs the native kernel if there is
            one.

    Returns:
        The products `[B,T,U]`, one for each matrix.

    Raises:
        ValueError: If a rank, a dtype, a known size or the number of matrices is invalid, or native was requested and
            has no kernel for these inputs.
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If sizes that are unknown at trace time turn out not to match.

    Example:
        >>> query, key = kernels.dense(tf.ones([1, 1, 3]), [tf.ones([3, 4]), tf.ones([3, 2])])
        >>> query.shape, key.shape
        (TensorShape([1, 1, 4]), TensorShape([1, 1, 2]))
    """
    if not 1 <= len(kernels) <= 3:
        raise ValueError(f"`kernels` must be one to three matrices. Received: {len(kernels)} matrices")
    x, matrices = _tensors(x, {f"kernels[{i}]": kernel for i, kernel in enumerate(kernels)})
    if dispatch.choose("dense", implementation, dtype=x.dtype, shape=x.shape, device=x.device) == "reference":
        return reference.dense(x, matrices)
    first, second, third = dispatch.library().ikelos_dense(
        x=x, kernel_0=matrices[0], kernel_1=matrices[1:2], kernel_2=matrices[2:3]
    )
    return [first, *second, *third]


@tf.autograph.experimental.do_not_convert
def gated_dense(x: tf.Tensor, gate: tf.Tensor, up: tf.Tensor, *, implementation: str | None = None) -> tf.Tensor:
    """Computes `silu(x @ gate) * (x @ up)` for a few rows in one op (Shazeer 2020, equation 6).

    Args:
        x: Floating `[B,T,D]`.
        gate: `[D,U]` in the dtype of `x`.
        up: `[D,U]` in the dtype of `x`.
        implementation: As in `ikelos.kernels.dense`.

    Returns:
        `[B,T,U]`.

    Raises:
        ValueError: As in `ikelos.kernels.dense`.
        ikelos.kernels.LibraryError: As in `ikelos.kernels.dense`.
        tf.errors.InvalidArgumentError: As in `ikelos.kernels.dense`.

    Example:
        >>> kernels.gated_dense(tf.ones([1, 1, 2]), tf.ones([2, 3]), tf.ones([2, 3])).numpy().round(3)
        array([[[3.523, 3.523, 3.523]]], dtype=float32)
    """
    x, (gate, up) = _tensors(x, {"gate": gate, "up": up})
    if not gate.shape.is_compatible_with(up.shape):
        raise ValueError(
            f"`gate` and `up` must have the same shape. Received: gate.shape={gate.shape}, up.shape={up.shape}"
        )
    if dispatch.choose("gated_dense", implementation, dtype=x.dtype, shape=x.shape, device=x.device) == "reference":
        return reference.gated_dense(x, gate, up)
    return dispatch.library().ikelos_gated_dense(x=x, kernel_0=gate, kernel_1=up)


def _tensors(x, kernels: dict[str, tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns the arguments as tensors.

    Raises:
        ValueError: If a rank, a dtype or a known size does not match.
    """
    x = tensor("x", x)
    check_floating("x", x)
    if x.shape.rank != 3:
        raise ValueError(f"`x` must have shape [batch, time, features]. Received: x.shape={x.shape}")
    matrices = []
    for name, kernel in kernels.items():
        kernel = tensor(name, kernel)
        if kernel.dtype != x.dtype:
            raise ValueError(
                f"`{name}` must have the dtype of `x`. "
                f"Received: {name}.dtype={kernel.dtype.name}, x.dtype={x.dtype.name}"
            )
        if not kernel.shape.is_compatible_with([x.shape[2], None]):
            raise ValueError(f"`{name}` must have shape [{x.shape[2]}, units]. Received: {name}.shape={kernel.shape}")
        matrices.append(kernel)
    return x, matrices


@tf.RegisterGradient("IkelosDense")
def _gradient(op, *output_grads):
    x, *kernels = op.inputs
    return _gradients(x, kernels, [dense_gradient(grad, y) for grad, y in zip(output_grads, op.outputs, strict=True)])


@tf.RegisterGradient("IkelosGatedDense")
def _gated_gradient(op, output_grad):
    # In the dtype of the arithmetic, so that gradients of half precision are rounded once.
    dtype = op.inputs[0].dtype
    x, gate, up, output_grad = (tf.cast(tensor, arithmetic(dtype)) for tensor in (*op.inputs, output_grad))
    logits, values = reference.dense(x, [gate, up])
    sigmoid = tf.sigmoid(logits)
    logits_grad = output_grad * values * sigmoid * (1 + logits * (1 - sigmoid))
    gradients = _gradients(x, [gate, up], [logits_grad, output_grad * logits * sigmoid])
    return [tf.cast(gradient, dtype) for gradient in gradients]


def _gradients(x, kernels, output_grads):
    """Returns the gradients of `x` and of each kernel."""
    x_grads = [tf.einsum("btu,du->btd", grad, kernel) for grad, kernel in zip(output_grads, kernels, strict=True)]
    return [tf.add_n(x_grads), *(tf.einsum("btd,btu->du", x, grad) for grad in output_grads)]

"""Root mean square normalisation."""

import tensorflow as tf

from ikelos.kernels import dispatch, signatures
from ikelos.kernels.arguments import check_floating
from ikelos.kernels.gradients import second_gradients
from ikelos.kernels.reference import rms_norm as reference


# The function has no control flow on tensors, so AutoGraph has nothing to convert.
@tf.autograph.experimental.do_not_convert
def rms_norm(x, scale, epsilon: float = 1e-6, implementation: str | None = None) -> tf.Tensor:
    """Divides each row by its root mean square and multiplies it by a scale per feature.

    The result is `x / sqrt(mean(x**2) + epsilon) * scale`, with the mean over the last axis (Zhang and Sennrich 2019,
    https://arxiv.org/abs/1910.07467). Half-precision inputs are computed in float32 and rounded once at the end.
    The op can be differentiated any number of times with respect to `x` and `scale`.

    Args:
        x: Floating `[..., D]`, with at least one axis.
        scale: `[D]`; cast to the dtype of `x`.
        epsilon: Number added to the mean of the squares, at least 0.
        implementation: `"native"` (float32 and bfloat16 on CPU), `"reference"` (plain TensorFlow), or None for the
            choice of the scope `ikelos.kernels.use`. Outside of any scope, None runs the native kernel if there is one.

    Returns:
        `[..., D]` in the dtype of `x`. The result does not depend on the number of threads.

    Raises:
        ValueError: If a shape, a dtype or `epsilon` is invalid, or native was requested and has no kernel for these
            inputs (`ikelos.kernels.explain` returns the reason).
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If a shape that is unknown at trace time turns out to be invalid.

    Example:
        >>> kernels.rms_norm([[3.0, 4.0]], [1.0, 1.0], epsilon=0.0).numpy().round(4)
        array([[0.8485, 1.1314]], dtype=float32)
    """
    given = (x, scale)
    signature = signatures.signature("rms_norm", given, (epsilon, implementation))
    results = signatures.repeat(signature, given, _native)
    if results is None:
        x = tf.convert_to_tensor(x)
        scale = tf.cast(scale, x.dtype)
        _validate(x, scale, epsilon)
        if dispatch.choose("rms_norm", implementation, dtype=x.dtype, shape=x.shape, device=x.device) == "reference":
            return reference.rms_norm(x, scale, epsilon)
        results = _native((x, scale), (epsilon,))
        signatures.remember(signature, given, (x, scale), (epsilon,))
    return results[0]


def _native(inputs: signatures.Tensors, attributes: tuple) -> tuple[tf.Tensor, tf.Tensor]:
    return dispatch.library().ikelos_rms_norm(*inputs, *attributes)


def _validate(x: tf.Tensor, scale: tf.Tensor, epsilon: float) -> None:
    check_floating("x", x)
    if x.shape.rank == 0:
        raise ValueError("`x` must have at least one axis. Received: x.shape=()")
    expected = x.shape[-1:] if x.shape.rank else tf.TensorShape([None])
    if not expected.is_compatible_with(scale.shape):
        raise ValueError(
            "`scale` must have shape [D], where D is the last axis of `x`. "
            f"Received: scale.shape={scale.shape}, x.shape={x.shape}"
        )
    if not epsilon >= 0:
        raise ValueError(f"`epsilon` must be at least 0. Received: epsilon={epsilon}")


@tf.RegisterGradient("IkelosRmsNorm")
def _gradient(op, dy, _drstd):
    # Only this gradient uses `rstd`, so no gradient comes back through it.
    x, scale = op.inputs
    return dispatch.library().ikelos_rms_norm_grad(
        x=x, scale=scale, rstd=op.outputs[1], dy=dy, epsilon=op.get_attr("epsilon")
    )


@tf.RegisterGradient("IkelosRmsNormGrad")
def _second_gradient(op, ddx, ddscale):
    # Second derivatives are rare (gradient penalties), so the reference computes them and all higher derivatives. The
    # reference computes `rstd` from `x`, so the gradient with respect to `x` already includes the path through `rstd`.
    x, scale, _, dy = op.inputs
    x_grad, scale_grad, dy_grad = second_gradients(
        lambda x, scale: [reference.rms_norm(x, scale, op.get_attr("epsilon"))], [x, scale], [dy], [ddx, ddscale]
    )
    return x_grad, scale_grad, None, dy_grad

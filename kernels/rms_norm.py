"""Root mean square normalisation."""

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels.arguments import check_floating
from ikelos.kernels.gradients import second_gradients
from ikelos.kernels.reference import rms_norm as reference


# The choice is made in plain Python at trace time: AutoGraph, in a user's tf.function, has nothing to convert in it.
@tf.autograph.experimental.do_not_convert
def rms_norm(x, scale, epsilon: float = 1e-6, implementation: str | None = None) -> tf.Tensor:
    """Divides each row by its root mean square and multiplies by a scale per feature.

    `y = x / sqrt(mean(x**2) + epsilon) * scale`, the mean taken over the last axis (Zhang and Sennrich, "Root Mean
    Square Layer Normalization", 2019, https://arxiv.org/abs/1910.07467). Arithmetic is in float32 for half-precision
    inputs, rounded once at the end. Differentiable by `x` and `scale`, any number of times.

    Args:
        x: Floating-point tensor `[..., D]`, at least one axis.
        scale: Tensor `[D]`; cast to the dtype of `x`.
        epsilon: Added to the mean of squares, >= 0.
        implementation: `"native"` (float32 and bfloat16 on CPU), `"reference"` (plain TensorFlow), or None for the
            choice of the scope `ikelos.kernels.use`, and outside any for native where there is a kernel.

    Returns:
        `[..., D]`, the dtype of `x`. The result does not depend on the number of threads.

    Raises:
        ValueError: If the shapes don't fit or `epsilon` is negative; or if `implementation="native"` is asked for and
            there is no native kernel for these inputs (`ikelos.kernels.explain` says why).
        ikelos.kernels.LibraryError: If native is asked for and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If shapes unknown until the graph runs don't fit then.
    """
    x = tf.convert_to_tensor(x)
    scale = tf.cast(scale, x.dtype)
    _validate(x, scale, epsilon)
    if dispatch.choose("rms_norm", implementation, dtype=x.dtype, shape=x.shape, device=x.device) == "reference":
        return reference.rms_norm(x, scale, epsilon)
    y, _ = dispatch.library().ikelos_rms_norm(x=x, scale=scale, epsilon=epsilon)
    return y


def _validate(x: tf.Tensor, scale: tf.Tensor, epsilon: float) -> None:
    check_floating("x", x)
    if x.shape.rank == 0:
        raise ValueError("x: expected at least one axis. Received: x of shape ()")
    expected = x.shape[-1:] if x.shape.rank else tf.TensorShape([None])
    if not expected.is_compatible_with(scale.shape):
        raise ValueError(
            "scale: expected shape [D], D the last axis of x. "
            f"Received: scale of shape {scale.shape} and x of shape {x.shape}"
        )
    if not epsilon >= 0:
        raise ValueError(f"epsilon: expected a number >= 0. Received: epsilon={epsilon}")


@tf.RegisterGradient("IkelosRmsNorm")
def _gradient(op, dy, _drstd):
    # rstd is kept for this gradient only and never handed out, so nothing flows back through it.
    x, scale = op.inputs
    return dispatch.library().ikelos_rms_norm_grad(
        x=x, scale=scale, rstd=op.outputs[1], dy=dy, epsilon=op.get_attr("epsilon")
    )


@tf.RegisterGradient("IkelosRmsNormGrad")
def _second_gradient(op, ddx, ddscale):
    # Second derivatives are rare (gradient penalties), so they, and all beyond, are those of the reference. It
    # computes rstd from x, so all that flows through the op's input of that name is in the gradient by x.
    x, scale, _, dy = op.inputs
    by_x, by_scale, by_dy = second_gradients(
        lambda x, scale: [reference.rms_norm(x, scale, op.get_attr("epsilon"))], [x, scale], [dy], [ddx, ddscale]
    )
    return by_x, by_scale, None, by_dy

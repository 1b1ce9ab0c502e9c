"""Rotary positions."""

from collections.abc import Sequence

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels.arguments import arithmetic, check_floating, number, tensor
from ikelos.kernels.gradients import dense
from ikelos.kernels.positions import check_axes, check_positions, fitting_positions, integer_positions
from ikelos.kernels.reference import rotary as reference


# The function has no control flow on tensors, so AutoGraph has nothing to convert.
@tf.autograph.experimental.do_not_convert
def rotary(
    inputs: tf.Tensor | Sequence[tf.Tensor],
    positions: tf.Tensor,
    frequencies: Sequence[float] | tf.Tensor,
    magnitude: float = 1.0,
    implementation: str | None = None,
) -> tf.Tensor | list[tf.Tensor]:
    """Rotates pairs of features by angles in proportion to the position (Su et al. 2021, section 3.4.2).

    Feature `i` of a head is paired with `i + H/2`, and the pair is rotated by `positions * frequencies[i]` radians and
    multiplied by `magnitude`. Angles are float32 products, and half-precision inputs are computed in float32 and
    rounded once at the end. The op can be differentiated any number of times with respect to `inputs`; frequencies
    get no gradient.

    Args:
        inputs: Floating `[B,T,N,H]`, H even and known when the graph is traced; or a list or tuple of two such tensors,
            such as query and key, of the same dtype, B, T and H. The two share their sines and cosines.
        positions: int `[T]`, `[B,T]` or `[1,T]`, within the range of int32.
        frequencies: `[H/2]`, radians per position.
        magnitude: A factor of the results.
        implementation: As in `ikelos.kernels.rms_norm`, but the native kernel takes float16 too.

    Returns:
        `[B,T,N,H]` in the dtype of `inputs`, or a list of two. The results do not depend on the number of threads.

    Raises:
        ValueError: If a shape, a dtype or `magnitude` is invalid, or native was requested and has no kernel for these
            inputs (`ikelos.kernels.explain` returns the reason).
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If a shape that is unknown at trace time turns out to be invalid.

    Example:
        >>> kernels.rotary(tf.ones([1, 2, 1, 2]), positions=[0, 1], frequencies=[1.0])[0, :, 0].numpy().round(3)
        array([[ 1.   ,  1.   ],
               [-0.301,  1.382]], dtype=float32)
    """
    is_pair = isinstance(inputs, list | tuple)
    if is_pair and len(inputs) != 2:
        raise ValueError(f"`inputs` must be one tensor or two. Received: {len(inputs)} tensors")
    arrays = [tensor("inputs", x) for x in (inputs if is_pair else [inputs])]
    first = arrays[0]
    _validate(arrays)
    positions = integer_positions("positions", positions)
    check_positions(positions, *first.shape[:2])
    frequencies = _frequencies(frequencies, first)
    magnitude = number("magnitude", magnitude, first.dtype)
    if dispatch.choose("rotary", implementation, dtype=first.dtype, shape=first.shape, device=first.device) == "native":
        query, key = dispatch.library().ikelos_rotary(
            query=first,
            key=arrays[1:],
            positions=tf.cast(positions, tf.int32),
            frequencies=frequencies,
            magnitude=magnitude,
        )
        outputs = [query, *key]
    else:
        for x in arrays:
            positions = fitting_positions(positions, x)
        outputs = reference.rotary(arrays, positions, frequencies, magnitude)
    return outputs if is_pair else outputs[0]


def _validate(arrays: list[tf.Tensor]) -> None:
    for x in arrays:
        check_floating("inputs", x)
        check_axes(x, "BTNH")
        if x.shape[3] is None or x.shape[3] % 2:
            raise ValueError(f"The last axis of `inputs` must be even. Received: inputs.shape={x.shape}")
    first, last = arrays[0], arrays[-1]
    if first.dtype != last.dtype or not last.shape.is_compatible_with([*first.shape[:2], None, first.shape[3]]):
        received = ", ".join(f"{x.dtype.name} {x.shape}" for x in arrays)
        raise ValueError(f"`inputs` must have the same dtype, B, T and H. Received: {received}")


def _frequencies(frequencies, inputs: tf.Tensor) -> tf.Tensor:
    dtype, pairs = arithmetic(inputs.dtype), inputs.shape[3] // 2
    # Numbers become a constant of that dtype, which a cast would compute in each call.
    numbers = not tf.is_tensor(frequencies)
    frequencies = tf.constant(frequencies, dtype) if numbers else tf.stop_gradient(tf.cast(frequencies, dtype))
    if frequencies.shape != [pairs]:
        raise ValueError(
            f"`frequencies` must be of shape [H/2], here [{pairs}]. Received: frequencies.shape={frequencies.shape}"
        )
    return frequencies


@tf.RegisterGradient("IkelosRotary")
def _gradient(op, *output_grads):
    # A rotation is transposed by rotating the other way.
    *arrays, positions, frequencies = op.inputs
    grads = [dense(grad, x) for grad, x in zip(output_grads, arrays, strict=True)]
    query, key = dispatch.library().ikelos_rotary(
        query=grads[0],
        key=grads[1:],
        positions=positions,
        frequencies=frequencies,
        magnitude=op.get_attr("magnitude"),
        transposed=not op.get_attr("transposed"),
    )
    return [query, *key, None, None]

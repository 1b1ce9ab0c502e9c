"""Static and dynamic shapes of tensors."""

from collections.abc import Collection, Sequence

import tensorflow as tf


def sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Returns the sizes of all axes: an int if it is known at trace time, else a scalar tensor."""
    if None not in x.shape:
        return list(x.shape)
    # One op for all axes: an index each would be an op and three constants.
    return [size if known is None else known for size, known in zip(tf.unstack(tf.shape(x)), x.shape, strict=True)]


def size_of(x: tf.Tensor, axis: int) -> int | tf.Tensor:
    """Returns the size of one axis, as `sizes` does."""
    return sizes(x)[axis] if x.shape[axis] is None else x.shape[axis]


def reshape(x: tf.Tensor, shape: Sequence[int | tf.Tensor]) -> tf.Tensor:
    """Returns `x` with another shape.

    Where one size is unknown at trace time, TensorFlow infers it from the others, which takes two ops less than to give
    it. The others must be right: TensorFlow would infer another size instead of raising an error.
    """
    unknown = [axis for axis, size in enumerate(shape) if tf.is_tensor(size)]
    if len(unknown) == 1 and 0 not in shape[: unknown[0]] and 0 not in shape[unknown[0] + 1 :]:
        shape = [-1 if axis in unknown else size for axis, size in enumerate(shape)]
    return tf.reshape(x, shape)


def with_shape(x: tf.Tensor, shape: tf.Tensor, message: str) -> tf.Tensor:
    """Returns `x`, checked to have a shape that may be unknown at trace time, where nothing else would notice another.

    XLA ignores the check.

    Raises:
        tf.errors.InvalidArgumentError: When the graph runs, if the shape of `x` is not `shape`, int32 `[rank]`.
    """
    same = tf.reduce_all(tf.equal(tf.shape(x), shape))
    with tf.control_dependencies([tf.debugging.Assert(same, [message, tf.shape(x), shape])]):
        return tf.identity(x)


def assertions(
    arguments: dict[str, tuple[tf.Tensor | None, str]],
    axis_sizes: dict[str, int | tf.Tensor],
    broadcastable: Collection[str] = (),
) -> list[tf.Operation]:
    """Returns assertions of the sizes that are unknown at trace time. XLA ignores them.

    Assertions are needed where broadcasting would accept a size of 1 in place of any other.

    Args:
        arguments: For each name, the tensor or None, and a string with a letter for each axis from the first; axes
            without a letter are not checked.
        axis_sizes: The expected sizes by letter.
        broadcastable: Names of the tensors whose axes may also be 1.
    """
    found = []
    for name, (x, letters) in arguments.items():
        if x is None:
            continue
        for axis, (letter, size) in enumerate(zip(letters, sizes(x)[: len(letters)], strict=True)):
            expected = axis_sizes[letter]
            if isinstance(size, int) and (isinstance(expected, int) or (name in broadcastable and size == 1)):
                continue
            message = f"axis {axis} of `{name}` must be {letter}"
            if name in broadcastable:
                message, expected = f"{message} or 1", tf.where(tf.equal(size, 1), 1, expected)
            found.append(tf.debugging.Assert(tf.equal(size, expected), [f"{message}. Received:", size]))
    return found

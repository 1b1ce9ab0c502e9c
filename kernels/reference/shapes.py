"""Static and dynamic shapes of tensors."""

from collections.abc import Collection

import tensorflow as tf


def sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Returns the shape of `x`: an int for each size that is known at trace time, a scalar tensor for the others."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if known is None else known for axis, known in enumerate(x.shape)]


def assertions(
    arguments: dict[str, tuple[tf.Tensor | None, str]],
    axis_sizes: dict[str, int | tf.Tensor],
    broadcastable: Collection[str] = (),
) -> list[tf.Operation]:
    """Returns assertions of the sizes that are unknown at trace time. XLA ignores them.

    Assertions are needed where broadcasting would accept a size of 1 in place of any other.

    Args:
        arguments: For each name, the tensor or None, and a string with a letter for each axis.
        axis_sizes: The expected sizes by letter.
        broadcastable: Names of the tensors whose axes may also be 1.
    """
    found = []
    for name, (x, letters) in arguments.items():
        for axis, letter in enumerate(letters if x is not None else ""):
            size, expected = sizes(x)[axis], axis_sizes[letter]
            if isinstance(size, int) and (isinstance(expected, int) or (name in broadcastable and size == 1)):
                continue
            message = f"axis {axis} of `{name}` must be {letter}"
            if name in broadcastable:
                message, expected = f"{message} or 1", tf.where(tf.equal(size, 1), 1, expected)
            found.append(tf.debugging.assert_equal(size, expected, message))
    return found

"""Static and dynamic shapes of tensors."""

from collections.abc import Collection

import tensorflow as tf


def sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The shape of `x`, with an int for each size that is known at trace time and a scalar tensor for the others."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if known is None else known for axis, known in enumerate(x.shape)]


def assertions(
    arguments: dict[str, tuple[tf.Tensor | None, str]],
    axis_sizes: dict[str, int | tf.Tensor],
    broadcastable: Collection[str] = (),
) -> list[tf.Operation]:
    """Assertions of the sizes that are unknown at trace time. XLA ignores them.

    They are needed where broadcasting would accept a size of 1 for any other.

    Args:
        arguments: Each tensor, or None, by its name, with a letter for each of its axes.
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

"""Sizes of tensors."""

from collections.abc import Collection

import tensorflow as tf


def sizes(x: tf.Tensor) -> list[int | tf.Tensor]:
    """The shape of `x`: ints where they are known when traced, so that static shapes are kept, and tensors
    elsewhere."""
    dynamic = tf.shape(x)
    return [dynamic[axis] if known is None else known for axis, known in enumerate(x.shape)]


def assertions(
    given: dict[str, tuple[tf.Tensor | None, str]], right: dict[str, int | tf.Tensor], broadcast: Collection[str] = ()
) -> list[tf.Operation]:
    """That sizes which were unknown when traced fit, where broadcasting would take one for any. XLA leaves assertions
    out.

    `given` has by name each tensor and a letter for each of its axes, `right` the sizes by letter. Axes of those named
    in `broadcast` may be 1.
    """
    found = []
    for name, (x, letters) in given.items():
        for axis, letter in enumerate(letters if x is not None else ""):
            size, expected = sizes(x)[axis], right[letter]
            if isinstance(size, int) and (isinstance(expected, int) or (name in broadcast and size == 1)):
                continue
            message = f"{name}: axis {axis} must be {letter}"
            if name in broadcast:
                message, expected = f"{message} or 1", tf.where(tf.equal(size, 1), 1, expected)
            found.append(tf.debugging.assert_equal(size, expected, message))
    return found

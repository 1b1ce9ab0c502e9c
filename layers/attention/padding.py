"""Padding in the inputs of attention: lengths and masks."""

import keras
import tensorflow as tf

from ikelos.kernels import arguments
from ikelos.kernels.reference.shapes import sizes


def padding(x, lengths=None, mask=None, prefix=""):
    """Returns the lengths and the mask of `x [B,T,...]`, in the form that the op takes.

    Args:
        x: A tensor, possibly with a Keras mask.
        lengths: int `[B]`, number of real positions of each row; padding is at the end. If given, masks are ignored.
        mask: `[B,T]` or `[1,T]`; False marks padding, which may be anywhere. With None, the Keras mask of `x` is used.
        prefix: Prefix of both arguments' names in errors.

    Returns:
        The number of positions up to the last real one, int32 `[B]`, and the mask, boolean `[B,T]`, which is None if
        `lengths` are given. Both are None without padding.

    Raises:
        ValueError: If `lengths` are not integers from 0 to T, or a shape is not as above.
    """
    if lengths is not None:
        return arguments.lengths(f"{prefix}lengths", lengths, *x.shape[:2]), None
    # Keras fills in the argument `mask` only in calls with a single tensor argument.
    mask = getattr(x, "_keras_mask", None) if mask is None else mask
    if mask is None:
        return None, None
    mask = keras.ops.cast(mask, "bool")
    batch, steps = x.shape[:2]
    if not any(mask.shape.is_compatible_with([rows, steps]) for rows in (batch, 1)):
        raise ValueError(
            f"`{prefix}mask` must be of shape [B,T] or [1,T], here [{batch},{steps}]. "
            f"Received: {prefix}mask.shape={mask.shape}"
        )
    mask = tf.broadcast_to(mask, tf.shape(x)[:2])
    return lengths_of(mask), mask


def without_padding(x, lengths, mask):
    """Returns `x [B,T,...]` with 0 at padding; `lengths` and `mask` are the results of `padding`.

    Padding may be NaN. Attention gives padding the weight 0, but 0 times NaN is NaN, both in the outputs of the row and
    in the gradients of the layers before.
    """
    if lengths is None:
        return x
    valid = tf.sequence_mask(lengths, tf.shape(x)[1]) if mask is None else mask
    return tf.where(tf.reshape(valid, [*sizes(x)[:2], *[1] * (len(x.shape) - 2)]), x, tf.zeros([], x.dtype))


def packed(x, mask):
    """Moves the positions of `x [B,T,...]` that are True in `mask [B,T]` to the front of each row, in their order.

    Returns:
        The reordered `x`; the number of True positions, int32 `[B]`; and a function that brings an array `[B,T,...]`
        from the new order back into that of `x`.
    """
    order = tf.argsort(tf.cast(mask, tf.int32), direction="DESCENDING", stable=True)

    def unpacked(y):
        return tf.gather(y, tf.argsort(order), batch_dims=1)

    return tf.gather(x, order, batch_dims=1), tf.math.count_nonzero(mask, axis=1, dtype=tf.int32), unpacked


def lengths_of(mask):
    """Returns the number of positions of the boolean `mask [B,T]` up to the last True, int32 `[B]`."""
    true_from_here = tf.cumsum(tf.cast(mask, tf.int32), axis=1, reverse=True)
    return tf.math.count_nonzero(true_from_here, axis=1, dtype=tf.int32)

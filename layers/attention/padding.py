"""Padding, as attention takes it."""

import keras
import tensorflow as tf

from ikelos.kernels import arguments
from ikelos.kernels.reference.shapes import sizes


def padding(x, lengths=None, mask=None, prefix=""):
    """What is padding in `x [B,T,...]`, as a length and a mask for the op, each None where it says nothing.

    Args:
        x: May carry a mask that a layer of Keras left on it.
        lengths: int `[B]`, how many positions of each row are real, the first ones. With it no mask is looked at.
        mask: `[B,T]` or `[1,T]`, False for padding, wherever it stands; None takes the mask that `x` carries.
        prefix: Of the two arguments' names in errors.

    Returns:
        int32 `[B]`, how many positions there are up to the last real one, and boolean `[B,T]`.

    Raises:
        ValueError: If `lengths` are no integers from 0 to T, or a shape is not as above.
    """
    if lengths is not None:
        return arguments.lengths(f"{prefix}lengths", lengths, *x.shape[:2]), None
    # Keras fills in arguments by the name of `mask` where the only other tensor is `x`.
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
    """`x [B,T,...]` with 0 where `padding` has found padding. Its weight is 0, and 0 times NaN is NaN: in a row that
    attends to it, and in the gradients of all that it went through."""
    if lengths is None:
        return x
    valid = tf.sequence_mask(lengths, tf.shape(x)[1]) if mask is None else mask
    return tf.where(tf.reshape(valid, [*sizes(x)[:2], *[1] * (len(x.shape) - 2)]), x, tf.zeros([], x.dtype))


def packed(x, mask):
    """`x [B,T,...]` with what `mask [B,T]` calls real at the front, in its order; how many that is, int32 `[B]`; and
    `unpacked`, which puts an array `[B,T,...]` of such an order back into that of `x`."""
    order = tf.argsort(tf.cast(mask, tf.int32), direction="DESCENDING", stable=True)

    def unpacked(y):
        return tf.gather(y, tf.argsort(order), batch_dims=1)

    return tf.gather(x, order, batch_dims=1), tf.math.count_nonzero(mask, axis=1, dtype=tf.int32), unpacked


def lengths_of(mask):
    """int32 `[B]`: how many positions of `mask [B,T]`, boolean, there are up to the last that is True."""
    true_from_here = tf.cumsum(tf.cast(mask, tf.int32), axis=1, reverse=True)
    return tf.math.count_nonzero(true_from_here, axis=1, dtype=tf.int32)

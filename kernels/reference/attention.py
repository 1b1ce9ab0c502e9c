"""Scaled dot-product attention in plain TensorFlow: the meaning of `ikelos.kernels.attention`."""

import functools

import tensorflow as tf

from ikelos.kernels.reference.shapes import sizes

# Added to the logits of forbidden pairs. exp() of it is exactly 0, and unlike -inf it makes no NaN of a row
# without any allowed pair. A sum and not a select: its gradient is free.
FORBIDDEN = -1e30


def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor | None,
    mask: tf.Tensor | None,
    *,
    scale: float,
    is_causal: bool,
    query_seq_lengths: tf.Tensor | None,
    key_value_seq_lengths: tf.Tensor | None,
    local_window_size: tuple[int, int] | None,
    query_offset: int | tf.Tensor,
) -> tf.Tensor:
    """See `ikelos.kernels.attention`; here every argument is given and checked."""
    dtype = tf.float64 if query.dtype == tf.float64 else tf.float32
    batch, num_queries, num_heads, size = sizes(query)
    num_keys, num_key_heads = sizes(key)[1:3]
    # The query heads that share a key head are stacked along the query axis, so that keys are never repeated.
    grouped = [batch, num_key_heads, num_heads // num_key_heads * num_queries]
    q = tf.reshape(tf.transpose(tf.cast(query, dtype) * scale, [0, 2, 1, 3]), [*grouped, size])
    k, v = (tf.transpose(tf.cast(x, dtype), [0, 2, 1, 3]) for x in (key, value))
    logits = tf.reshape(tf.matmul(q, k, transpose_b=True), [batch, num_heads, num_queries, num_keys])

    conditions = []
    if bias is not None:
        bias = tf.cast(bias, dtype)
        # Not `bias > FORBIDDEN`, which would hide a NaN.
        conditions.append(~(bias <= FORBIDDEN))
        logits += tf.where(conditions[0], bias, tf.zeros([], dtype))
    if mask is not None:
        conditions.append(mask)
    if key_value_seq_lengths is not None:
        conditions.append(_within(key_value_seq_lengths, num_keys)[:, None, None, :])
    # These can leave a query without any key; so can a band, but not the common ones.
    rows_may_be_empty = bool(conditions)
    left, right = _reach(is_causal, local_window_size)
    if left is not None or right is not None:
        conditions.append(_band(num_queries, num_keys, left, right, query_offset))
        rows_may_be_empty |= not _always_meets_keys(left, query_offset, query.shape[1], key.shape[1])
    if conditions:
        allowed = functools.reduce(tf.logical_and, conditions)
        logits += tf.where(allowed, tf.zeros([], dtype), tf.constant(FORBIDDEN, dtype))

    attended = tf.matmul(tf.reshape(tf.nn.softmax(logits), [*grouped, num_keys]), v)
    attended = tf.transpose(tf.reshape(attended, [batch, num_heads, num_queries, size]), [0, 2, 1, 3])
    # Rows are zeroed in the results: the weights are larger, and the gradient is the same.
    if rows_may_be_empty:
        seen = tf.reduce_any(_four_axes(allowed), axis=-1)
        attended *= tf.cast(tf.transpose(seen, [0, 2, 1])[..., None], dtype)
    if query_seq_lengths is not None:
        attended *= tf.cast(_within(query_seq_lengths, num_queries), dtype)[:, :, None, None]
    return tf.cast(attended, query.dtype)


def _four_axes(x: tf.Tensor) -> tf.Tensor:
    return x[(None,) * (4 - x.shape.rank)]


def _within(lengths: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Bool `[B,size]`: positions below each row's length."""
    return tf.sequence_mask(lengths, size)


def _reach(is_causal: bool, window: tuple[int, int] | None) -> tuple[int | None, int | None]:
    """How far a query sees to the left and to the right; None is without limit."""
    left, right = (None, None) if window is None else window
    return left, 0 if is_causal else right


def _band(
    num_queries: int | tf.Tensor,
    num_keys: int | tf.Tensor,
    left: int | None,
    right: int | None,
    query_offset: int | tf.Tensor,
) -> tf.Tensor:
    """Bool `[1 or B,1,T,S]`: keys at most `left` before and `right` behind the query."""
    positions = tf.reshape(tf.cast(query_offset, tf.int32), [-1, 1, 1, 1]) + tf.range(num_queries)[:, None]
    distance = positions - tf.range(num_keys)
    limits = []
    if right is not None:
        limits.append(distance >= -right)
    if left is not None:
        limits.append(distance <= left)
    return functools.reduce(tf.logical_and, limits)


def _always_meets_keys(
    left: int | None, query_offset: int | tf.Tensor, num_queries: int | None, num_keys: int | None
) -> bool:
    """Whether it is known that the band leaves no query without a key."""
    if not isinstance(query_offset, int) or query_offset < 0:
        return False
    if left is None:
        return True
    if num_queries is None or num_keys is None:
        return False
    return query_offset + num_queries - 1 - left < num_keys

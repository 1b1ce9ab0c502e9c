"""Scaled dot-product attention."""

import numbers

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels.reference import attention as reference


# It has no control flow on tensors, and AutoGraph would warn of what it cannot convert.
@tf.autograph.experimental.do_not_convert
def attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    bias: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: tf.Tensor | None = None,
    key_value_seq_lengths: tf.Tensor | None = None,
    local_window_size: int | tuple[int, int] | None = None,
    query_offset: int | tf.Tensor = 0,
    implementation: str | None = None,
) -> tf.Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) with grouped heads (Ainslie et al.
    2023).

    `softmax(query @ key * scale + bias) @ value`. Argument names and meanings are those of
    `jax.nn.dot_product_attention`; `query_offset` is ours. Arithmetic is in float32 for half-precision
    inputs, rounded once at the end. A query without any allowed key, or beyond `query_seq_lengths`, gives 0,
    and its gradients are 0.

    What stands at forbidden positions of `key` and `value` must be finite: its weight is 0, and 0 times NaN is NaN.

    Args:
        query: `[B,T,N,H]`, floating.
        key: `[B,S,K,H]`, where K divides N.
        value: `[B,S,K,H]`.
        bias: Added to the scaled logits, broadcastable to `[B,N,T,S]`. -1e30 or less, as -inf, forbids a pair
            as `mask` does; NaN does not.
        mask: Boolean, broadcastable to `[B,N,T,S]`; False forbids a pair.
        scale: Factor of the logits; `1 / sqrt(H)` when None.
        is_causal: Query t sees keys up to `query_offset + t` (top-left aligned).
        query_seq_lengths: int `[B]`, number of valid queries of each row.
        key_value_seq_lengths: int `[B]`, number of valid keys of each row.
        local_window_size: `(left, right)`: a query sees keys at most that far from its position `query_offset
            + t`; one integer is both sides.
        query_offset: Position of the first query among the keys, an integer or int `[B]`.
        implementation: `"native"`, `"reference"`, or None for `ikelos.kernels.use`'s choice.

    Returns:
        `[B,T,N,H]` in the query's dtype.

    Raises:
        ValueError: If ranks, heads, sizes or dtypes do not fit, or there is no kernel of the implementation asked
            for; the message names the argument.
    """
    query, key, value = (
        tf.convert_to_tensor(x, name=name) for name, x in (("query", query), ("key", key), ("value", value))
    )
    _check(query, key, value)
    batch = query.shape[:1].merge_with(key.shape[:1]).merge_with(value.shape[:1])[0]
    pairs = [batch, query.shape[2], query.shape[1], key.shape[1]]
    if bias is not None:
        bias = tf.convert_to_tensor(bias, name="bias")
        _check_broadcast("bias", bias, pairs)
    if mask is not None:
        mask = tf.convert_to_tensor(mask, name="mask")
        if mask.dtype != tf.bool:
            raise ValueError(f"`mask` must be boolean. Received: mask.dtype={mask.dtype.name}")
        _check_broadcast("mask", mask, pairs)
    query_seq_lengths = _integers("query_seq_lengths", query_seq_lengths, batch)
    key_value_seq_lengths = _integers("key_value_seq_lengths", key_value_seq_lengths, batch)
    # An int that is known when traced stays one: the reference makes use of it.
    if isinstance(query_offset, numbers.Integral):
        query_offset = int(query_offset)
    else:
        query_offset = _integers("query_offset", query_offset, batch, ranks=(0, 1))
    dispatch.choose("attention", implementation, dtype=query.dtype, shape=query.shape)
    return reference.attention(
        query,
        key,
        value,
        bias,
        mask,
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        is_causal=is_causal,
        query_seq_lengths=query_seq_lengths,
        key_value_seq_lengths=key_value_seq_lengths,
        local_window_size=_window(local_window_size),
        query_offset=query_offset,
    )


def _check(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.shape.rank != 4:
            raise ValueError(f"`{name}` must have rank 4, [batch, time, heads, size]. Received: {name}.shape={x.shape}")
        if not x.dtype.is_floating or x.dtype != query.dtype:
            raise ValueError(
                f"`{name}` must be of a floating type, the same as `query`. "
                f"Received: {name}.dtype={x.dtype.name}, query.dtype={query.dtype.name}"
            )
    if not key.shape.is_compatible_with(value.shape):
        raise ValueError(
            f"`key` and `value` must have one shape. Received: key.shape={key.shape}, value.shape={value.shape}"
        )
    for name, x in (("key", key), ("value", value)):
        if not x.shape[:1].is_compatible_with(query.shape[:1]):
            raise ValueError(
                f"`query` and `{name}` must have one batch size. "
                f"Received: query.shape={query.shape}, {name}.shape={x.shape}"
            )
    if query.shape[2] is None or key.shape[2] is None or query.shape[3] is None:
        raise ValueError(
            "The number of heads and their size must be known when the graph is traced. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}"
        )
    if query.shape[3] != key.shape[3]:
        raise ValueError(
            f"`query` and `key` must have one head size. Received: query.shape={query.shape}, key.shape={key.shape}"
        )
    if query.shape[2] % key.shape[2]:
        raise ValueError(
            "The number of query heads must be a multiple of the number of key-value heads. "
            f"Received: query.shape={query.shape}, key.shape={key.shape}"
        )


def _check_broadcast(name: str, x: tf.Tensor, pairs: list[int | None]) -> None:
    """Checks `x` against `pairs`, the sizes B, N, T and S as far as they are known."""
    fits = x.shape.rank is not None and x.shape.rank <= 4
    if not fits or any(
        size not in (None, 1, wanted) and wanted is not None
        for size, wanted in zip(reversed(list(x.shape)), reversed(pairs), strict=False)
    ):
        raise ValueError(
            f"`{name}` must be broadcastable to [batch, heads, queries, keys], here {pairs}. "
            f"Received: {name}.shape={x.shape}"
        )


def _integers(name: str, x: tf.Tensor | None, batch: int | None, ranks: tuple[int, ...] = (1,)) -> tf.Tensor | None:
    """`x` as a tensor of integers, one for each row; with rank 0 among `ranks`, perhaps one for all."""
    if x is None:
        return None
    x = tf.convert_to_tensor(x, name=name)
    if not x.dtype.is_integer:
        raise ValueError(f"`{name}` must hold integers. Received: {name}.dtype={x.dtype.name}")
    if x.shape.rank not in ranks or (x.shape.rank == 1 and not x.shape.is_compatible_with([batch])):
        expected = " or ".join("a scalar" if rank == 0 else f"of shape [batch], here [{batch}]" for rank in ranks)
        raise ValueError(f"`{name}` must be {expected}. Received: {name}.shape={x.shape}")
    return x


def _window(given: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    sides = (given, given) if isinstance(given, numbers.Integral) else given
    if (
        not isinstance(sides, list | tuple)
        or len(sides) != 2
        or not all(isinstance(side, numbers.Integral) and side >= 0 for side in sides)
    ):
        raise ValueError(
            f"`local_window_size` must be one or two integers, at least 0. Received: local_window_size={given}"
        )
    return int(sides[0]), int(sides[1])

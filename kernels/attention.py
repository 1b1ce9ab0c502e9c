"""Scaled dot-product attention."""

import tensorflow as tf

from ikelos.kernels import dispatch
from ikelos.kernels.reference import attention as reference


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

    Args:
        query: `[B,T,N,H]`, floating.
        key: `[B,S,K,H]`, where K divides N.
        value: `[B,S,K,H]`.
        bias: Added to the scaled logits, broadcastable to `[B,N,T,S]`. -1e30 or less, as -inf, forbids a pair
            as `mask` does.
        mask: Boolean, broadcastable to `[B,N,T,S]`; False forbids a pair.
        scale: Factor of the logits; `1 / sqrt(H)` when None.
        is_causal: Query t sees keys up to `query_offset + t` (top-left aligned).
        query_seq_lengths: int `[B]`, number of valid queries of each row.
        key_value_seq_lengths: int `[B]`, number of valid keys of each row.
        local_window_size: `(left, right)`: a query sees keys at most that far from its position `query_offset
            + t`; one int is both sides.
        query_offset: Position of the first query among the keys, an int or int `[B]`.
        implementation: `"native"`, `"reference"`, or None for `ikelos.kernels.use`'s choice.

    Returns:
        `[B,T,N,H]` in the query's dtype.

    Raises:
        ValueError: If ranks, heads or sizes do not fit, or there is no kernel of the implementation asked
            for; the message names the argument.
    """
    query, key, value = (
        tf.convert_to_tensor(x, name=name) for name, x in (("query", query), ("key", key), ("value", value))
    )
    _check(query, key, value)
    window = (local_window_size, local_window_size) if isinstance(local_window_size, int) else local_window_size
    if window is not None and (len(window) != 2 or min(window) < 0):
        raise ValueError(
            "`local_window_size` must be one or two integers, at least 0. "
            f"Received: local_window_size={local_window_size}"
        )
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
        local_window_size=window,
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

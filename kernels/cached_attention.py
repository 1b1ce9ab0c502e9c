"""Causal attention with a cache of earlier keys and values."""

import tensorflow as tf

from ikelos.kernels import attention_arguments as arguments
from ikelos.kernels import dispatch
from ikelos.kernels.arguments import integers, is_integer, lengths, number, tensor
from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.gradients import dense
from ikelos.kernels.kv_cache import KVCache
from ikelos.kernels.reference import cached_attention as reference


# The function has no control flow on tensors, and AutoGraph would warn about code that it cannot convert.
@tf.autograph.experimental.do_not_convert
def cached_attention(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    cache: KVCache,
    *,
    scale: float | None = None,
    query_seq_lengths: tf.Tensor | None = None,
    local_window_size: int | None = None,
    alibi_slopes: tf.Tensor | None = None,
    implementation: str | None = None,
) -> tuple[tf.Tensor, KVCache]:
    """Computes causal attention of new tokens to themselves and to the tokens in a cache, to which they are appended.

    The result is that of `ikelos.kernels.attention` over all tokens of each row, for the new ones alone. The native
    kernel reads no slot that no new token attends to. In a graph it writes the new tokens into the memory of `cache` if
    nobody else needs it, as in a loop that goes on with the returned cache. Otherwise it copies the cache, as each
    eager call does, and as the reference always does. The op can be differentiated with respect to all floating
    arguments; the reference computes the gradient.

    Args:
        query: `[B,T,N,H]`, floating, of the new tokens, H at least 1.
        key: `[B,T,K,H]`, where K divides N.
        value: `[B,T,K,E]`.
        cache: The earlier tokens: `key` `[B,S,K,H]` and `value` `[B,S,K,E]` in the query's dtype. Slots that hold no
            token are not read by the native kernel; the reference needs finite numbers there.
        scale: Factor of the logits; None for `1 / sqrt(H)`.
        query_seq_lengths: int `[B]`, number of new tokens of each row that are no padding, from 0 to T. Padding is not
            appended, and its output is 0.
        local_window_size: Largest distance to a token that a new token attends to; None for no limit. With a limit
            below S the cache never overflows.
        alibi_slopes: Floating `[N]`, as in `ikelos.kernels.attention`. The slopes get no gradient.
        implementation: As in `ikelos.kernels.attention`.

    Returns:
        The output `[B,T,N,E]` in the query's dtype, and the longer cache.

    Raises:
        ValueError: If ranks, heads, sizes or dtypes do not match, a number is out of range, or the requested
            implementation has no kernel for these inputs; the message names the argument.
        ikelos.kernels.LibraryError: If native was requested and the library cannot be loaded.
        tf.errors.InvalidArgumentError: If shapes, lengths or rows that are unknown at trace time turn out to be
            invalid, or a row of the cache has no room for its new tokens; in a graph that XLA compiled, only with the
            native kernel.

    Example:
        >>> query, key, value = tf.random.normal([3, 1, 5, 4, 8])
        >>> cache = kernels.KVCache.empty(batch_size=1, capacity=5, num_heads=4, head_size=8)
        >>> first, cache = kernels.cached_attention(query[:, :3], key[:, :3], value[:, :3], cache)
        >>> rest, cache = kernels.cached_attention(query[:, 3:], key[:, 3:], value[:, 3:], cache)
        >>> whole = kernels.attention(query, key, value, is_causal=True)
        >>> bool(tf.reduce_max(tf.abs(tf.concat([first, rest], axis=1) - whole)) < 1e-5)
        True
    """
    query, key, value = arguments.tensors(query, key, value)
    for name, x in (("key", key), ("value", value)):
        if not x.shape[1:2].is_compatible_with(query.shape[1:2]):
            raise ValueError(
                f"`query` and `{name}` must have the same length, that of the new tokens. "
                f"Received: query.shape={query.shape}, {name}.shape={x.shape}"
            )
    batch = query.shape[:1].merge_with(key.shape[:1]).merge_with(value.shape[:1])[0]
    steps = query.shape[1:2].merge_with(key.shape[1:2]).merge_with(value.shape[1:2])[0]
    cache = _checked_cache(cache, query, key, value, batch)
    if local_window_size is not None and not (is_integer(local_window_size) and local_window_size >= 0):
        raise ValueError(
            "`local_window_size` must be None or an integer of at least 0. "
            f"Received: local_window_size={local_window_size}"
        )
    options = Options(
        scale=number("scale", query.shape[3] ** -0.5 if scale is None else scale, query.dtype),
        window_left=-1 if local_window_size is None else arguments.window(local_window_size)[0],
        query_seq_lengths=lengths("query_seq_lengths", query_seq_lengths, batch, steps),
        alibi_slopes=arguments.slopes(alibi_slopes, query.shape[2]),
    )
    chosen = dispatch.choose(
        "cached_attention",
        implementation,
        dtype=query.dtype,
        shape=query.shape,
        device=query.device,
        value_size=value.shape[3],
    )
    if chosen == "reference":
        return reference.cached_attention(query, key, value, cache, options)
    has_rows = not isinstance(cache.rows, tuple)
    output, new_key, new_value, rows = dispatch.library().ikelos_cached_attention(
        query=query,
        key=key,
        value=value,
        key_cache=cache.key,
        value_cache=cache.value,
        cache_lengths=cache.length,
        query_seq_lengths=[] if options.query_seq_lengths is None else [options.query_seq_lengths],
        cache_rows=[cache.rows] if has_rows else [],
        alibi_slopes=[] if options.alibi_slopes is None else [options.alibi_slopes],
        scale=options.scale,
        window_left=options.window_left,
    )
    num_new = tf.shape(query)[1] if steps is None else steps
    length = cache.length + (num_new if options.query_seq_lengths is None else options.query_seq_lengths)
    return output, KVCache(new_key, new_value, length, rows[0] if has_rows else ())


def _checked_cache(cache, query, key, value, batch: int | None) -> KVCache:
    """Returns the cache with tensors of the dtypes of the native op.

    Raises:
        ValueError: If it is no cache, or a dtype or a known shape does not match the new tokens.
    """
    if not isinstance(cache, KVCache):
        raise ValueError(f"`cache` must be an ikelos.kernels.KVCache. Received: cache={cache!r}")
    parts = {"key": tensor("cache.key", cache.key), "value": tensor("cache.value", cache.value)}
    for (name, x), new in zip(parts.items(), (key, value), strict=True):
        if x.dtype != query.dtype:
            raise ValueError(
                f"`cache.{name}` must have the dtype of `query`. "
                f"Received: cache.{name}.dtype={x.dtype.name}, query.dtype={query.dtype.name}"
            )
        expected = [batch, None, *new.shape[2:]]
        if not x.shape.is_compatible_with(expected):
            raise ValueError(f"`cache.{name}` must have shape {expected}. Received: cache.{name}.shape={x.shape}")
    if not parts["key"].shape[1:2].is_compatible_with(parts["value"].shape[1:2]):
        raise ValueError(
            "`cache.key` and `cache.value` must have the same capacity. "
            f"Received: cache.key.shape={parts['key'].shape}, cache.value.shape={parts['value'].shape}"
        )
    length = integers("cache.length", cache.length, batch, 0, None)
    rows = cache.rows
    if not isinstance(rows, tuple):
        rows = tensor("cache.rows", rows)
        expected = [batch, parts["key"].shape[1]]
        if rows.dtype != tf.int32 or not rows.shape.is_compatible_with(expected):
            raise ValueError(
                f"`cache.rows` must be int32 of shape {expected}, or (). "
                f"Received: cache.rows.shape={rows.shape}, cache.rows.dtype={rows.dtype.name}"
            )
    return KVCache(parts["key"], parts["value"], length, rows)


@tf.RegisterGradient("IkelosCachedAttention")
def _gradient(op, *output_grads):
    # Decoding needs no gradient, so the reference computes it.
    tensors, optional = list(op.inputs[:5]), list(op.inputs[6:])
    lengths, rows, slopes = (
        optional.pop(0) if op.get_attr(f"num_{name}") else None
        for name in ("query_seq_lengths", "cache_rows", "alibi_slopes")
    )
    options = Options(
        scale=op.get_attr("scale"),
        window_left=op.get_attr("window_left"),
        query_seq_lengths=lengths,
        alibi_slopes=slopes,
    )
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        query, key, value, key_cache, value_cache = tensors
        cache = KVCache(key_cache, value_cache, op.inputs[5], () if rows is None else rows)
        output, new = reference.cached_attention(query, key, value, cache, options)
        outputs = [output, new.key, new.value]
    grads = [dense(grad, x) for grad, x in zip(output_grads[:3], outputs, strict=True)]
    return [*tape.gradient(outputs, tensors, grads), *[None] * (len(op.inputs) - 5)]

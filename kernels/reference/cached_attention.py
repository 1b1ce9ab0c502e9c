"""Attention with a cache in plain TensorFlow: the definition of `ikelos.kernels.cached_attention`."""

import tensorflow as tf

from ikelos.kernels import in_place
from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.kv_cache import KVCache
from ikelos.kernels.reference import attention as reference
from ikelos.kernels.reference import attention_step
from ikelos.kernels.reference.shapes import assertions, sizes


def cached_attention(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, cache: KVCache, options: Options
) -> tuple[tf.Tensor, KVCache]:
    """Computes `ikelos.kernels.cached_attention`, which has checked all sizes that are known at trace time."""
    # TensorFlow converts larger integers to int32 without an error.
    window = min(options.window_left, 2**31 - 1)
    num_valid = options.query_seq_lengths
    # A decoding loop made the cache itself, and assertions would take a third of the ops of its steps.
    if not in_place.is_active():
        with tf.control_dependencies(_assertions(query, key, value, cache, num_valid, window)):
            # All that could raise an error which does not name the argument.
            query, key, value = (tf.identity(x) for x in (query, key, value))
            parts = {name: tf.identity(getattr(cache, name)) for name in ("key", "value", "length")}
            cache = cache._replace(**parts)
            num_valid = None if num_valid is None else tf.identity(num_valid)
    new = cache.updated(key, value, num_valid)
    if query.shape[1] == 1 and num_valid is None:
        return _one_step(query, cache, new, options, window), new
    return _several_steps(query, key, value, cache, options, num_valid, window), new


def _assertions(query, key, value, cache, num_valid, window):
    batch, steps = sizes(query)[:2]
    capacity = sizes(cache.key)[1]
    arguments = {
        "key": (key, "BT"),
        "value": (value, "BT"),
        "cache.key": (cache.key, "B"),
        "cache.value": (cache.value, "BS"),
        "cache.length": (cache.length, "B"),
        "cache.rows": (None if isinstance(cache.rows, tuple) else cache.rows, "BS"),
        "query_seq_lengths": (num_valid, "B"),
    }
    checks = assertions(arguments, {"B": batch, "T": steps, "S": capacity})
    if not (window >= 0 and isinstance(capacity, int) and window < capacity):
        longest = tf.reduce_max(tf.concat([cache.length + (steps if num_valid is None else num_valid), [0]], axis=0))
        has_room = (longest <= capacity) | ((window >= 0) & (window < capacity))
        message = "`cache` must have room for the new tokens, or for the window. Received: capacity, tokens"
        checks.append(tf.debugging.Assert(has_room, [message, capacity, longest]))
    return checks


def _one_step(query, cache, new, options, window):
    """Returns the output for one token of each row, which is in `new` and attends to no slot of a later one."""
    position = cache.length[:, None]
    # The slots of the cache before the update have the same size, which is known earlier.
    places = cache._replace(length=new.length).positions_of_slots()
    mask = places >= (tf.maximum(position - window, 0) if window >= 0 else 0)
    bias = None
    if options.alibi_slopes is not None:
        bias = _alibi(options.alibi_slopes, (position - places)[:, None], query.dtype)
    keys, values = new.contents()
    return attention_step.attend(query, keys, values, bias, mask, options.scale)


def _several_steps(query, key, value, cache, options, num_valid, window):
    """Returns the outputs for several tokens of each row, or for rows with padding."""
    positions = cache.positions(sizes(query)[1])
    # The new tokens may overwrite slots that the first of them attends to.
    beyond = positions
    if num_valid is not None:
        is_token = tf.sequence_mask(num_valid, sizes(query)[1])
        beyond = tf.where(is_token, positions, -1)
        # Padding may be NaN, which a weight of 0 does not remove.
        query, key, value = (
            tf.where(is_token[:, :, None, None], x, tf.zeros([], x.dtype)) for x in (query, key, value)
        )
    keys, values = (tf.concat(x, axis=1) for x in zip(cache.contents(), (key, value), strict=True))
    places = tf.concat([cache.positions_of_slots(), beyond], axis=1)
    distance = positions[:, :, None] - places[:, None, :]
    mask = (distance >= 0) & (places >= 0)[:, None, :]
    if window >= 0:
        mask &= distance <= window
    bias = None
    if options.alibi_slopes is not None:
        bias = _alibi(options.alibi_slopes, distance[:, None], query.dtype)
    plain = Options(scale=options.scale, mask=mask[:, None], query_seq_lengths=num_valid)
    output, _ = reference.attention(query, keys, values, bias, plain, with_residual=False)
    return output


def _alibi(slopes, distance, dtype):
    """Returns the bias `[B,N,...]` of `slopes [N]` for distances `[B,1,...]`."""
    dtype = arithmetic(dtype)
    slopes = tf.reshape(tf.cast(slopes, dtype), [-1, *[1] * (distance.shape.rank - 2)])
    return -slopes * tf.cast(tf.abs(distance), dtype)

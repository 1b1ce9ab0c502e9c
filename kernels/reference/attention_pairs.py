"""What attention makes of each pair of a query and a key, for all keys at once or a block of them."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.reference import dropout
from ikelos.kernels.reference.shapes import sizes

# A bias of this or less forbids its pair, and the logits of forbidden pairs are about it: exp() of it is exactly 0,
# and unlike -inf it makes no NaN of a row without any allowed pair.
FORBIDDEN = -1e30


class Queries:
    """The queries `[B,T,N,H]`, ready to meet keys."""

    def __init__(self, query: tf.Tensor, num_key_heads: int, options: Options):
        self.options = options
        self.batch, self.count, self.heads, _ = sizes(query)
        self.key_heads = num_key_heads
        self.scaled = self.grouped(query * tf.constant(options.scale, query.dtype))
        self.positions = tf.range(self.count, dtype=tf.int64)[:, None]
        if options.query_offset is not None:
            # Wider than int32, where an offset and a window could overflow.
            self.positions += tf.cast(options.query_offset, tf.int64)[:, None, None, None]
        if options.dropout_seed is not None:
            self.words = dropout.row_words(options.dropout_seed, self.batch, self.heads, self.count)

    def grouped(self, x: tf.Tensor) -> tf.Tensor:
        """`[B,T,N,X]` as `[B,K,N/K*T,X]`: the heads that share a key head one after another, so that keys are never
        repeated."""
        rows = self.heads // max(self.key_heads, 1) * self.count
        return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [self.batch, self.key_heads, rows, sizes(x)[3]])

    def grouped_pairs(self, x: tf.Tensor) -> tf.Tensor:
        """`[B,N,T,s]` as `[B,K,N/K*T,s]`."""
        rows = self.heads // max(self.key_heads, 1) * self.count
        return tf.reshape(x, [self.batch, self.key_heads, rows, sizes(x)[3]])

    def by_head(self, x: tf.Tensor) -> tf.Tensor:
        """`[B,K,N/K*T,X]` as `[B,N,T,X]`."""
        return tf.reshape(x, [self.batch, self.heads, self.count, sizes(x)[3]])

    def logits(
        self, key: tf.Tensor, bias: tf.Tensor | None, mask: tf.Tensor | None, keys: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Logits `[B,N,T,s]` of `key`, `[B,K,s,H]`, and which pairs are allowed: bool, broadcastable to the same, None
        if all are. Those of forbidden pairs mean nothing.

        `bias` and `mask` are broadcastable to the logits; `keys`, int32 `[s]`, are the keys' positions.
        """
        dtype, options = key.dtype, self.options
        logits = self.by_head(tf.matmul(self.scaled, key, transpose_b=True))
        conditions = []
        if bias is not None:
            # Not `bias > FORBIDDEN`, which would hide a NaN.
            conditions.append(~(bias <= FORBIDDEN))
            logits += tf.where(conditions[0], bias, tf.zeros([], dtype))
        if options.alibi_slopes is not None:
            # No gradient, in the native kernel neither: slopes are constants of the model.
            slopes = tf.cast(tf.stop_gradient(options.alibi_slopes), dtype)[:, None, None]
            logits -= slopes * tf.cast(tf.abs(_clipped(self.positions, -(2**30), 2**30) - keys), dtype)
        if mask is not None:
            conditions.append(mask)
        if options.key_value_seq_lengths is not None:
            conditions.append(keys < options.key_value_seq_lengths[:, None, None, None])
        # One comparison of int32 for each pair: the limits are clipped to where keys can be.
        if options.window_left >= 0:
            conditions.append(keys >= _clipped(self.positions - options.window_left, -1))
        if options.is_causal or options.window_right >= 0:
            right = 0 if options.is_causal else options.window_right
            conditions.append(keys <= _clipped(self.positions + right, -1))
        return logits, functools.reduce(tf.logical_and, conditions) if conditions else None

    def dropped(self, weights: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """`[B,N,T,s]` after dropout."""
        if self.options.dropout_seed is None:
            return weights
        rate = self.options.dropout_rate
        kept = dropout.keep(self.words, rate, keys)
        return tf.where(kept, weights / tf.constant(1 - rate, weights.dtype), tf.zeros([], weights.dtype))


def unpacked(inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Query, key, value and the bias, None if there is none among the inputs that have a gradient."""
    query, key, value, *bias = inputs
    return query, key, value, bias[0] if bias else None


def _clipped(positions: tf.Tensor, lowest: int, highest: int = 2**31 - 1) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(positions, lowest, highest), tf.int32)

"""Logits, masks and dropout of query-key pairs, for all keys at once or for one block of them."""

import functools
from collections.abc import Sequence

import tensorflow as tf

from ikelos.kernels.attention_arguments import Options
from ikelos.kernels.reference import dropout as attention_dropout
from ikelos.kernels.reference.shapes import size_of, sizes

# A bias of this value or less masks its pair, and masked pairs get about this logit. Its exp() is exactly 0. Unlike
# -inf, it causes no NaN in a row in which every pair is masked.
MASKED_LOGIT = -1e30


class Queries:
    """Scaled queries `[B,T,N,H]` with their positions, from which logits are computed block by block."""

    def __init__(self, query: tf.Tensor, num_key_heads: int, options: Options):
        self.options = options
        self.batch, self.count, self.heads, _ = sizes(query)
        self.key_heads = num_key_heads
        self.scaled = self.group_heads(query * tf.constant(options.scale, query.dtype))
        self.positions = tf.range(self.count, dtype=tf.int64)[:, None]
        if options.query_offset is not None:
            # In int64, because an offset plus a window could overflow int32.
            self.positions += tf.cast(options.query_offset, tf.int64)[:, None, None, None]
        if options.dropout_seed is not None:
            self.words = attention_dropout.row_words(options.dropout_seed, self.batch, self.heads, self.count)

    def group_heads(self, x: tf.Tensor) -> tf.Tensor:
        """Reshapes `[B,T,N,X]` to `[B,K,N/K*T,X]`: query heads that share a key head become rows, so that keys need not
        be repeated."""
        rows = self.heads // max(self.key_heads, 1) * self.count
        return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [self.batch, self.key_heads, rows, size_of(x, 3)])

    def group_pairs(self, x: tf.Tensor) -> tf.Tensor:
        """Reshapes `[B,N,T,s]` to `[B,K,N/K*T,s]`."""
        rows = self.heads // max(self.key_heads, 1) * self.count
        return tf.reshape(x, [self.batch, self.key_heads, rows, size_of(x, 3)])

    def ungroup(self, x: tf.Tensor) -> tf.Tensor:
        """Reshapes `[B,K,N/K*T,X]` to `[B,N,T,X]`."""
        return tf.reshape(x, [self.batch, self.heads, self.count, size_of(x, 3)])

    def logits(
        self, key: tf.Tensor, bias: tf.Tensor | None, mask: tf.Tensor | None, keys: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns the logits of some keys, and whether each pair is allowed; the logits of other pairs are undefined.

        Args:
            key: `[B,K,s,H]`.
            bias: Broadcastable to `[B,N,T,s]`, or None.
            mask: Boolean, broadcastable to `[B,N,T,s]`, or None.
            keys: Positions of the keys, int32 `[s]`.

        Returns:
            Logits `[B,N,T,s]`, and a boolean tensor broadcastable to them, None if every pair is allowed.
        """
        dtype, options = key.dtype, self.options
        logits = self.ungroup(tf.matmul(self.scaled, key, transpose_b=True))
        conditions = []
        if bias is not None:
            # Not `bias > MASKED_LOGIT`, which would hide a NaN.
            conditions.append(~(bias <= MASKED_LOGIT))
            logits += tf.where(conditions[0], bias, tf.zeros([], dtype))
        if options.alibi_slopes is not None:
            # Slopes are constants of the model and get no gradient, as in the native kernel.
            slopes = tf.cast(tf.stop_gradient(options.alibi_slopes), dtype)[:, None, None]
            logits -= slopes * tf.cast(tf.abs(_clip(self.positions, -(2**30), 2**30) - keys), dtype)
        if mask is not None:
            conditions.append(mask)
        if options.key_value_seq_lengths is not None:
            conditions.append(keys < options.key_value_seq_lengths[:, None, None, None])
        # Limits are clipped to possible key positions, so that one int32 comparison per pair suffices.
        if options.window_left >= 0:
            conditions.append(keys >= _clip(self.positions - options.window_left, -1))
        if options.is_causal or options.window_right >= 0:
            right = 0 if options.is_causal else options.window_right
            conditions.append(keys <= _clip(self.positions + right, -1))
        return logits, functools.reduce(tf.logical_and, conditions) if conditions else None

    def dropout(self, weights: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Returns the weights `[B,N,T,s]` after dropout, for keys at the positions `keys`, int32 `[s]`."""
        if self.options.dropout_seed is None:
            return weights
        rate = self.options.dropout_rate
        kept = attention_dropout.keep(self.words, rate, keys)
        return tf.where(kept, weights / tf.constant(1 - rate, weights.dtype), tf.zeros([], weights.dtype))


def unpack(inputs: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Returns query, key, value and bias; the bias is None if `inputs` has three elements."""
    query, key, value, *bias = inputs
    return query, key, value, bias[0] if bias else None


def _clip(positions: tf.Tensor, lowest: int, highest: int = 2**31 - 1) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(positions, lowest, highest), tf.int32)

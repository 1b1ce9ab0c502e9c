"""`KVCache`: the keys and values of earlier tokens, for decoding one token after another."""

from typing import Any, NamedTuple

import tensorflow as tf

from ikelos.kernels import in_place
from ikelos.kernels.reference.shapes import reshape, sizes


class KVCache(NamedTuple):
    """Keys and values of a batch of sequences of unequal length.

    The token at position p of a row is in slot p modulo S. So a cache never overflows if no token attends to more than
    S positions: it holds the last S tokens of each row.

    Attributes:
        key: `[B,S,K,H]`, S the capacity.
        value: `[B,S,K,E]`.
        length: int32 `[B]`, number of tokens of each row, which is the position of its next token.
        rows: int32 `[B,S]`, the row of `key` and `value` that holds each slot, in a beam search; `()` if each row holds
            its own slots. No row may append to a slot of its own that another row still reads.

    Example:

    >>> cache = KVCache.empty(batch_size=2, capacity=8, num_heads=1, head_size=4)
    >>> new = tf.ones((2, 3, 1, 4))
    >>> cache.append(new, new, num_valid=tf.constant([3, 1])).length.numpy()
    array([3, 1], dtype=int32)
    """

    key: tf.Tensor
    value: tf.Tensor
    length: tf.Tensor
    rows: Any = ()

    @classmethod
    def empty(cls, batch_size, capacity, num_heads, head_size, dtype=tf.float32) -> "KVCache":
        """Returns an empty cache with room for `capacity` positions; `num_heads` is K and `head_size` is H."""
        shape = [batch_size, capacity, num_heads, head_size]
        return cls(tf.zeros(shape, dtype), tf.zeros(shape, dtype), tf.zeros([batch_size], tf.int32))

    def positions(self, num_new: tf.Tensor | int) -> tf.Tensor:
        """Returns the positions, int32 `[B,num_new]`, of the next tokens of each row."""
        return self.length[:, None] + tf.range(num_new)[None, :]

    def positions_of_slots(self) -> tf.Tensor:
        """Returns the position of the last token of each slot, int32 `[B,S]`; below 0 where there was none yet."""
        last, capacity = self.length[:, None] - 1, sizes(self.key)[1]
        return last - tf.math.floormod(last - tf.range(capacity), capacity)

    def contents(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the keys and values of each row by slot, `[B,S,K,H]` and `[B,S,K,E]`."""
        if isinstance(self.rows, tuple):
            return self.key, self.value
        slots = tf.broadcast_to(tf.range(tf.shape(self.rows)[1]), tf.shape(self.rows))
        where = tf.stack([self.rows, slots], axis=-1)
        return tf.gather_nd(self.key, where), tf.gather_nd(self.value, where)

    def append(self, key: tf.Tensor, value: tf.Tensor, num_valid: tf.Tensor | None = None) -> "KVCache":
        """Returns a cache with `key` and `value` appended, in plain TensorFlow.

        Args:
            key: `[B,T,K,H]`.
            value: `[B,T,K,E]`.
            num_valid: int32 `[B]`, number of real positions among the T; T if None. The positions after them are
                padding and are not written.

        Raises:
            tf.errors.InvalidArgumentError: If a row has no room for its new positions. On a GPU or compiled by XLA, the
                last S positions are kept instead.
        """
        steps = sizes(key)[1]
        longest = tf.reduce_max(self.length + (steps if num_valid is None else num_valid))
        message = "`KVCache` must have a capacity of at least the number of tokens. Received:"
        has_room = tf.debugging.Assert(longest <= tf.shape(self.key)[1], [message, tf.shape(self.key)[1], longest])
        with tf.control_dependencies([has_room]):
            return self.updated(tf.identity(key), value, num_valid)

    def updated(self, key: tf.Tensor, value: tf.Tensor, num_valid: tf.Tensor | None = None) -> "KVCache":
        """Returns what `append` does, but for rows without room: they keep their last S tokens."""
        key, value = tf.cast(key, self.key.dtype), tf.cast(value, self.value.dtype)
        steps = sizes(key)[1]
        new = self._replace(length=self.length + (steps if num_valid is None else num_valid))
        rows = sizes(self.key)[0]
        own = tf.range(rows)
        if isinstance(steps, int) and steps == 1 and num_valid is None:
            capacity = sizes(self.key)[1]
            slots = tf.math.floormod(self.length, capacity)

            def write(old, values):
                if not in_place.is_active():
                    return tf.tensor_scatter_nd_update(old, tf.stack([own, slots], axis=-1), values)
                flat = reshape(old, [rows * capacity, *sizes(old)[2:]])
                return tf.reshape(tf.raw_ops.InplaceUpdate(x=flat, i=own * capacity + slots, v=values), tf.shape(old))

            key, value = key[:, 0], value[:, 0]
        else:
            # The place of the token of each slot among the new ones; below 0 for an earlier one.
            places = new.positions_of_slots() - self.length[:, None]
            own = tf.broadcast_to(own[:, None], tf.shape(key)[:2])
            if not (isinstance(steps, int) and steps > 0):
                # Without new tokens, place 0 must exist too.
                key, value, own = (
                    tf.pad(x, [[0, 0], [0, 1], *[[0, 0]] * (x.shape.rank - 2)]) for x in (key, value, own)
                )

            def write(old, values):
                is_new = tf.reshape(places >= 0, tf.concat([tf.shape(places), [1] * (old.shape.rank - 2)], axis=0))
                return tf.where(is_new, tf.gather(values, tf.maximum(places, 0), batch_dims=1), old)

        new = new._replace(key=write(self.key, key), value=write(self.value, value))
        return new if isinstance(self.rows, tuple) else new._replace(rows=write(self.rows, own))

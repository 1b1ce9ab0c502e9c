"""`KVCache`: the keys and values of earlier tokens, for decoding one token after another."""

from typing import NamedTuple

import tensorflow as tf


class KVCache(NamedTuple):
    """Keys and values of a batch of sequences of unequal length.

    Attributes:
        key: `[B,S,K,H]`, S the capacity.
        value: `[B,S,K,H]`.
        length: int32 `[B]`, number of positions of each row that are in use.

    Example:

    >>> cache = KVCache.empty(batch_size=2, capacity=8, num_heads=1, head_size=4)
    >>> new = keras.ops.ones((2, 3, 1, 4))
    >>> cache.append(new, new, num_valid=keras.ops.array([3, 1])).length.numpy()
    array([3, 1], dtype=int32)
    """

    key: tf.Tensor
    value: tf.Tensor
    length: tf.Tensor

    @classmethod
    def empty(cls, batch_size, capacity, num_heads, head_size, dtype=tf.float32) -> "KVCache":
        """Returns an empty cache with room for `capacity` positions; `num_heads` is K and `head_size` is H."""
        zeros = tf.zeros([batch_size, capacity, num_heads, head_size], dtype)
        return cls(zeros, zeros, tf.zeros([batch_size], tf.int32))

    def positions(self, num_new: tf.Tensor | int) -> tf.Tensor:
        """Returns the positions, int32 `[B,num_new]`, of the next tokens of each row."""
        return self.length[:, None] + tf.range(num_new)[None, :]

    def append(self, key: tf.Tensor, value: tf.Tensor, num_valid: tf.Tensor | None = None) -> "KVCache":
        """Returns a cache with `key` and `value` appended.

        Args:
            key: `[B,T,K,H]`.
            value: `[B,T,K,H]`.
            num_valid: int32 `[B]`, number of real positions among the T; T if None. The positions after them are
                padding, which the next `append` overwrites.

        Raises:
            tf.errors.InvalidArgumentError: If a row has no room for T more positions, with TensorFlow's CPU kernels. On
                a GPU or compiled by XLA, positions without room are dropped.
        """
        batch, num_new = tf.shape(key)[0], tf.shape(key)[1]
        positions = self.positions(num_new)
        rows = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(positions))
        where = tf.stack([rows, positions], axis=-1)
        return KVCache(
            tf.tensor_scatter_nd_update(self.key, where, tf.cast(key, self.key.dtype)),
            tf.tensor_scatter_nd_update(self.value, where, tf.cast(value, self.value.dtype)),
            self.length + (num_new if num_valid is None else num_valid),
        )

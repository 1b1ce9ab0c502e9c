"""`MemoryCache`: the projected keys and values of a memory, for decoding one token after another."""

from typing import NamedTuple

import tensorflow as tf


class MemoryCache(NamedTuple):
    """Keys and values of the memory of `CrossAttention`, which stay the same from step to step.

    Attributes:
        key: `[B,S,K,H]`.
        value: `[B,S,K,H]`.
        length: int32 `[B]`, number of real positions of each row.

    Example:

    >>> from ikelos.layers import CrossAttention
    >>> layer = CrossAttention(num_heads=2)
    >>> memory = keras.ops.ones((1, 5, 6))
    >>> _ = layer(keras.ops.ones((1, 3, 8)), memory)
    >>> layer.memory_cache(memory).key.shape
    TensorShape([1, 5, 2, 4])
    """

    key: tf.Tensor
    value: tf.Tensor
    length: tf.Tensor

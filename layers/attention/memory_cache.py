"""`MemoryCache`: the projected keys and values of a memory, for decoding one token after another."""

from typing import NamedTuple

import tensorflow as tf


class MemoryCache(NamedTuple):
    """Keys and values of the memory of `CrossAttention`, which stay the same from step to step.

    Attributes:
        key: `[B,S,K,H]`.
        value: `[B,S,K,H]`.
        length: int32 `[B]`, number of real positions of each row.
    """

    key: tf.Tensor
    value: tf.Tensor
    length: tf.Tensor

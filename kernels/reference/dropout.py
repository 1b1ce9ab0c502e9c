"""The dropout of attention weights in plain TensorFlow."""

import tensorflow as tf


def row_words(seed: tf.Tensor, batch, num_heads, num_queries) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns two hashes of each query, uint32 `[B,N,T,1]`, which `keep` mixes with the keys; `seed` is int32 `[2]`."""
    first, second = tf.unstack(_bitcast_uint32(seed))
    heads = tf.reshape(tf.range(1, batch * num_heads + 1), [batch, num_heads, 1, 1])
    queries = tf.range(1, num_queries + 1)[:, None]
    head_words = _mix(first + _uint32(0x9E3779B9) * _bitcast_uint32(heads))
    row_first = _mix(tf.bitwise.bitwise_xor(head_words, _uint32(0x85EBCA6B) * _bitcast_uint32(queries)))
    return row_first, _mix(tf.bitwise.bitwise_xor(row_first, second))


def keep(words: tuple[tf.Tensor, tf.Tensor], rate: float, keys: tf.Tensor) -> tf.Tensor:
    """Returns whether each weight is kept, bool `[B,N,T,s]`, for keys at the positions `keys`, int32 `[s]`.

    The decision is a hash of the seed and the weight's indices, which `csrc/core/dropout.h` describes. So the gradient
    and the native kernel make the same decision. Arithmetic is in uint32, modulo 2^32.
    """
    x = _xor_shift(words[0] + _bitcast_uint32(keys), 16) * _uint32(0x7FEB352D)
    x = _xor_shift(tf.bitwise.bitwise_xor(x, words[1]), 15) * _uint32(0x846CA68B)
    return tf.bitwise.right_shift(_xor_shift(x, 16), _uint32(8)) >= _uint32(int(rate * 2**24 + 0.5))


def _mix(x: tf.Tensor) -> tf.Tensor:
    x = _xor_shift(x, 16) * _uint32(0x7FEB352D)
    x = _xor_shift(x, 15) * _uint32(0x846CA68B)
    return _xor_shift(x, 16)


def _xor_shift(x: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, _uint32(bits)))


def _uint32(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)


def _bitcast_uint32(x: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(x, tf.uint32)

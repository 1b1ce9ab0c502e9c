"""Which attention weights dropout keeps, in plain TensorFlow."""

import tensorflow as tf


def row_words(seed: tf.Tensor, batch, num_heads, num_queries) -> tuple[tf.Tensor, tf.Tensor]:
    """The two words, each uint32 `[B,N,T,1]`, that `keep` mixes with the keys; `seed` is int32 `[2]`."""
    first, second = tf.unstack(_unsigned(seed))
    heads = tf.reshape(tf.range(1, batch * num_heads + 1), [batch, num_heads, 1, 1])
    queries = tf.range(1, num_queries + 1)[:, None]
    head_words = _mix(first + _word(0x9E3779B9) * _unsigned(heads))
    row_first = _mix(tf.bitwise.bitwise_xor(head_words, _word(0x85EBCA6B) * _unsigned(queries)))
    return row_first, _mix(tf.bitwise.bitwise_xor(row_first, second))


def keep(words: tuple[tf.Tensor, tf.Tensor], rate: float, keys: tf.Tensor) -> tf.Tensor:
    """Bool `[B,N,T,s]`: whether the weights of `keys`, int32 `[s]`, are kept.

    A hash of the seed and the weight's indices, so that the gradient and the native kernel find the same: the one that
    `csrc/core/dropout.h` describes. Its integers are uint32, whose arithmetic is modulo 2^32.
    """
    x = _xor_shifted(words[0] + _unsigned(keys), 16) * _word(0x7FEB352D)
    x = _xor_shifted(tf.bitwise.bitwise_xor(x, words[1]), 15) * _word(0x846CA68B)
    return tf.bitwise.right_shift(_xor_shifted(x, 16), _word(8)) >= _word(int(rate * 2**24 + 0.5))


def _mix(x: tf.Tensor) -> tf.Tensor:
    x = _xor_shifted(x, 16) * _word(0x7FEB352D)
    x = _xor_shifted(x, 15) * _word(0x846CA68B)
    return _xor_shifted(x, 16)


def _xor_shifted(x: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, _word(bits)))


def _word(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)


def _unsigned(x: tf.Tensor) -> tf.Tensor:
    return tf.bitcast(x, tf.uint32)

"""Stop strings of generated texts, in the graph: whether a text ends with one, and the text before the first.

Strings are compared as arrays of bytes, because TensorFlow has no op that finds one string in another.
"""

from collections.abc import Callable

import tensorflow as tf

from ikelos.pipelines.text.vocabulary import Vocabulary


def until(vocabulary: Vocabulary, stop: tf.Tensor) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the function `until` of `ikelos.layers.decoding.generate` that ends the rows that hold a stop string.

    Only the last tokens are decoded at each step. Each stands for at least one byte, so a stop string that has just
    become complete lies within as many tokens as it has bytes.

    Args:
        vocabulary: Vocabulary of the tokens.
        stop: string `[B,N]`; an empty string ends no text.
    """
    longest = tf.reduce_max(tf.concat([tf.reshape(tf.strings.length(stop), [-1]), [0]], axis=0))

    def ended(step, written):
        recent = written[:, tf.maximum(step - longest, 0) : step]
        return tf.reduce_any(_found(vocabulary.decode(recent), stop), axis=[1, 2])

    return lambda step, written: tf.cond(
        longest > 0, lambda: ended(step, written), lambda: tf.zeros(tf.shape(written)[:1], tf.bool)
    )


def cut(text: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
    """Returns texts `[B]` up to the first place where one of their stop strings `[B,N]` begins."""

    def shortened():
        found = tf.reduce_any(_found(text, stop), axis=1)
        first = tf.where(
            tf.reduce_any(found, axis=1), tf.argmax(found, axis=1, output_type=tf.int32), tf.shape(found)[1]
        )
        return tf.strings.substr(text, tf.zeros_like(first), first)

    return tf.cond(tf.reduce_any(stop != ""), shortened, lambda: text)


def _found(text, stop):
    """Returns where stop strings `[B,N]` begin in texts `[B]`, bool `[B,N,P]`, for each place within the longest."""
    sizes = tf.strings.length(stop)
    longest = tf.reduce_max(tf.concat([tf.reshape(sizes, [-1]), [0]], axis=0))
    places = tf.maximum(tf.reduce_max(tf.concat([tf.strings.length(text), [0]], axis=0)), 1)
    # As decoded with a fixed length, the strings end with zero bytes, and the texts have some behind their last place.
    wanted = tf.io.decode_raw(stop, tf.uint8, fixed_length=tf.maximum(longest, 1))
    data = tf.io.decode_raw(text, tf.uint8, fixed_length=places + longest)
    found = (sizes > 0)[:, :, None] & tf.ones([1, 1, places], tf.bool)

    def compare(byte, found):
        here = data[:, None, byte : byte + places] == wanted[:, :, byte, None]
        return byte + 1, found & (here | (byte >= sizes)[:, :, None])

    _, found = tf.while_loop(lambda byte, _: byte < longest, compare, (0, found))
    # A stop string of zero bytes must not be found behind the end of a text.
    ends = tf.range(places) + sizes[:, :, None]
    return found & (ends <= tf.strings.length(text)[:, None, None])

"""What the ways of decoding share."""

import tensorflow as tf


def integers(*values):
    """Each as int32: NumPy's integers are int64 unless told."""
    return [tf.cast(x, tf.int32) for x in values]


def column(values, dtype):
    """A number for all rows, or one a row `[B]`, as `[1,1]` or `[B,1]`."""
    return tf.reshape(tf.cast(values, dtype), [-1, 1])


def longest_of(lengths):
    """The largest of `lengths`, int32 `[B]`, and 0 where there is none."""
    return tf.reduce_max(tf.concat([lengths, [0]], axis=0))


def write(written, step, tokens):
    """Puts `tokens [...]` into column `step` of `written [...,L]`."""
    return tf.where(tf.range(tf.shape(written)[-1]) == step, tokens[..., None], written)


def loop(running, body, variables):
    """`tf.while_loop` of variables whose shapes stay, also where TensorFlow can't tell that they do."""

    def step(*before):
        return tf.nest.map_structure(lambda new, old: tf.ensure_shape(new, old.shape), body(*before), before)

    return tf.while_loop(running, step, tf.nest.map_structure(tf.convert_to_tensor, variables))

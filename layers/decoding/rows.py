"""Functions on rows of tokens that all ways of decoding share."""

import tensorflow as tf


def integers(*values):
    """Returns the values as int32, because NumPy's integers are int64 by default."""
    return [tf.cast(x, tf.int32) for x in values]


def column(values, dtype):
    """Returns a number for all rows as `[1,1]`, or one number per row, `[B]`, as `[B,1]`."""
    return tf.reshape(tf.cast(values, dtype), [-1, 1])


def longest_of(lengths):
    """Returns the largest of `lengths`, int32 `[B]`, or 0 if B is 0."""
    return tf.reduce_max(tf.concat([lengths, [0]], axis=0))


def repeat_rows(values, times):
    """Returns nested tensors `[B,...]` with each row `times` times in succession, `[B*times,...]`.

    `tf.repeat` takes some 25 ops, here once for all tensors.
    """
    return _gather(values, tf.repeat(tf.range(tf.shape(tf.nest.flatten(values)[0])[0]), times))


def reorder_beams(values, beams, num_beams):
    """Returns nested tensors `[B*K,...]` whose rows are the beams `[B,K]`, each an index among the K of its batch row.

    `num_beams` is K.
    """
    return _gather(values, rows_of(beams, num_beams))


def rows_of(beams, num_beams):
    """Returns the rows `[B*K]` of the beams `[B,K]`, each an index among the K of its batch row."""
    first = tf.range(tf.shape(beams)[0])[:, None] * num_beams
    return tf.reshape(first + beams, [-1])


def _gather(values, rows):
    return tf.nest.map_structure(lambda x: tf.gather(x, rows), values)


def write(written, step, tokens):
    """Returns `written [...,L]` with `tokens [...]` in column `step`."""
    return tf.where(tf.range(tf.shape(written)[-1]) == step, tokens[..., None], written)


def while_loop(cond, body, loop_vars):
    """Returns the final variables of a `tf.while_loop` that keeps their shapes.

    TensorFlow alone would raise an error if it cannot infer that a shape stays the same. The arguments are those of
    `tf.while_loop`; the variables are tensors and TensorArrays.
    """

    def same_shape(new, old):
        return new if isinstance(old, tf.TensorArray) else tf.ensure_shape(new, old.shape)

    def step(*before):
        return tf.nest.map_structure(same_shape, body(*before), before)

    start = tf.nest.map_structure(lambda x: x if isinstance(x, tf.TensorArray) else tf.convert_to_tensor(x), loop_vars)
    return tf.while_loop(cond, step, start)

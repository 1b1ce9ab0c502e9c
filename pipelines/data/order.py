"""Orders without state: which example a step takes is a pure function of the seed and the step."""

import tensorflow as tf

from ikelos.pipelines.errors import UserError

# tf.data counts in int64; at a thousand steps a second this lasts for 34 years.
_ENDLESS = 1 << 40


def endless(batch, start_step):
    """The batches of `start_step` and all later steps; `batch` makes one from its step, an int64 scalar."""
    return tf.data.Dataset.range(start_step, _ENDLESS).map(batch).prefetch(2)


def captured(values, dtype):
    """An eager tensor on the host: a function refers to it, where an array would be copied into its graph."""
    with tf.device("CPU:0"):
        return tf.constant(values, dtype)


def key(seed, epoch, stream):
    """Keys int64 [..., 3] for `shuffled`: one an epoch, and others in another stream."""
    zeros = tf.zeros_like(epoch)
    return tf.stack([zeros + seed, epoch, zeros + stream], axis=-1)


def shuffled(index, key, size):
    """Where the pseudorandom permutation of [0, size) that the key chooses puts the index."""
    # The raw op of tf.random.experimental.index_shuffle, whose wrapper in TensorFlow 2.21 pads keys [n, 2]
    # along the wrong axis. With its 4 rounds the places of neighbouring indices correlate (-0.15); with 8
    # they don't.
    return tf.raw_ops.RandomIndexShuffle(index=index, seed=key, max_index=tf.cast(size, tf.int64) - 1, rounds=8)


def check_positive(**numbers):
    """Raises UserError for a number below 1."""
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"{name} must be at least 1. Received: {name}={number}")


def check_order(seed, start_step):
    """Raises UserError for a seed or a first step that is out of range."""
    if not -(2**31) <= seed < 2**31:
        raise UserError(f"seed must be a 32-bit integer. Received: seed={seed}")
    if start_step < 0:
        raise UserError(f"start_step must be at least 0. Received: start_step={start_step}")

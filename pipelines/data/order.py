"""Orders without state: which examples a step takes is a pure function of the seed, the step and the shard."""

import dataclasses
import operator

import tensorflow as tf

from ikelos.pipelines.errors import UserError

# tf.data counts in int64; at a thousand steps a second this lasts for 34 years.
_ENDLESS = 1 << 40


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of several equal shares of each batch: that of one of several processes that train together.

    The shards of a batch, one behind the other, are the batch that a single process would have taken.

    Attributes:
        index: From 0 to `count - 1`.
        count: Number of shards.

    Raises:
        ValueError: If the index is another.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self):
        for name in ("index", "count"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        if not 0 <= self.index < self.count:
            raise ValueError(f"`index` must be from 0 to {self.count - 1}. Received: index={self.index}")

    def rows(self, batch_size: int) -> tf.Tensor:
        """The rows of a batch that are the shard's, int64.

        Raises:
            UserError: If the batch cannot be shared equally.
        """
        if batch_size % self.count:
            raise UserError(
                f"batch_size must be a multiple of the number of processes, {self.count}. "
                f"Received: batch_size={batch_size}"
            )
        size = batch_size // self.count
        return tf.range(self.index * size, (self.index + 1) * size, dtype=tf.int64)


WHOLE = Shard()
"""Of a single process."""


def endless(batch, start_step):
    """The batches of `start_step` and all later steps; `batch` makes one from its step, an int64 scalar."""
    return by_step(batch, start_step, _ENDLESS)


def by_step(batch, start_step, end_step):
    """The batches of some steps; `batch` makes one from its step, an int64 scalar."""
    options = tf.data.Options()
    # They would copy into memory all that a batch refers to, mapped columns too: once more, and 4 GB of them.
    options.experimental_optimization.apply_default_optimizations = False
    steps = tf.data.Dataset.range(start_step, end_step).with_options(options)
    # In parallel, since the disk may have to be waited for.
    return steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)


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

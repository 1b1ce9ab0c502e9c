"""Examples of a store as tf.data sets whose order is a pure function of (seed, step, shard)."""

import operator

import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE, Shard, by_step, check_order, check_positive, endless, key, shuffled
from ikelos.pipelines.data.store import Store, tensor

Batch = dict[str, tf.Tensor]


def batches(store: Store, batch_size: int, seed: int, start_step: int, shard: Shard = WHOLE) -> tf.data.Dataset:
    """Returns an endless dataset of batches in which each example occurs once per epoch, in a new order each epoch.

    Args:
        store: Store of the examples.
        batch_size: Examples in a batch of all shards together.
        seed: Any int32; it determines the order.
        start_step: Step of the first batch; the batch of a step does not depend on it.
        shard: Share of each batch to return, B rows.

    Returns:
        Elements `{"id": int64 [B], "draw": int64 [B], ...}` with all columns that are not ragged. `id` is the index of
        the example in the store; `draw` counts the examples since step 0 and serves as key for random transformations.

    Raises:
        UserError: If `batch_size` is not positive or not a multiple of the number of shards, or `seed` or `start_step`
            is out of range.
    """
    batch_size, seed, start_step = map(operator.index, (batch_size, seed, start_step))
    check_positive(batch_size=batch_size)
    check_order(seed, start_step)
    count = len(store)
    take = _taking(store)
    rows = shard.rows(batch_size)

    def batch(step):
        draw = step * batch_size + rows
        return take(shuffled(draw % count, key(seed, draw // count, stream=0), count), draw)

    return endless(batch, start_step)


def in_order(store: Store, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of batches with every example once, in order; the last batch may be smaller.

    Elements have the structure that `batches` describes, with `draw` equal to `id`.

    Raises:
        UserError: If `batch_size` is not positive.
    """
    batch_size = operator.index(batch_size)
    check_positive(batch_size=batch_size)
    count = len(store)
    take = _taking(store)

    def batch(step):
        index = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, count))
        return take(index, index)

    return by_step(batch, 0, -(-count // batch_size))


def _taking(store):
    columns = {name: tensor(store.array(name)) for name, column in store.columns.items() if not column.ragged}

    def take(index, draw):
        return {"id": index, "draw": draw} | {name: tf.gather(values, index) for name, values in columns.items()}

    return take

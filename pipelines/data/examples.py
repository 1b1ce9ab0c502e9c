"""Examples taken by index, as tf.data sets whose order is a pure function of (seed, step, shard)."""

import operator

import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE, Shard, by_step, check_order, check_positive, endless, key, shuffled
from ikelos.pipelines.data.store import Store, tensor

Batch = dict[str, tf.Tensor]


def batches(store: Store, batch_size: int, seed: int, start_step: int, shard: Shard = WHOLE) -> tf.data.Dataset:
    """Endless batches, each example once an epoch, in an order permuted anew each epoch.

    Args:
        store: What to draw from.
        batch_size: B, of all shards together.
        seed: Any int32; other seeds give other orders.
        start_step: The step of the first batch; the batch of a step is the same whatever the start.
        shard: Which rows of each batch are wanted, b.

    Returns:
        Elements `{"id": int64 [b], "draw": int64 [b], ...}` with the columns but the names: `id` is the place among
        the examples, `draw` counts the examples since step 0 (the key for what is random in an example).

    Raises:
        UserError: If a number is out of range.
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
    """Finite batches of every example once, as `batches`, with `draw` as `id`; the last one may have fewer."""
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

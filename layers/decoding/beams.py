"""The state of a model whose rows are the beams of a search."""

import keras
import tensorflow as tf

from ikelos.kernels import KVCache
from ikelos.layers.attention.memory_cache import MemoryCache
from ikelos.layers.decoding.rows import repeat_rows, rows_of


def split(state, num_beams):
    """Returns a state in which each row of `state` has `num_beams` beams in succession.

    All beams of a row must advance together. A `MemoryCache` stays as it is, since the beams share it.
    """

    def of_beams(x):
        if isinstance(x, MemoryCache):
            return x
        if not isinstance(x, KVCache):
            return repeat_rows(x, num_beams)
        own = tf.range(tf.shape(x.key)[0] * num_beams)
        x = repeat_rows(x._replace(rows=()), num_beams)
        # All beams read the earlier tokens from the same memory, which the processor's caches hold once.
        first = tf.broadcast_to((own // num_beams * num_beams)[:, None], tf.shape(x.key)[:2])
        return x._replace(rows=first)

    return _map(of_beams, state)


def reorder(state, beams, num_beams):
    """Returns a state of `split` whose rows are the beams `[B,K]`, each an index among the K of its row.

    No key or value moves: a `KVCache` notes whose they are. That needs no copy, since beams that advance together never
    write to a slot that one of them still reads.

    Args:
        state: The state.
        beams: int32 `[B,K]`.
        num_beams: K.
    """
    rows = rows_of(beams, num_beams)

    def reordered(x):
        if isinstance(x, MemoryCache):
            return x
        if isinstance(x, KVCache):
            return x._replace(length=tf.gather(x.length, rows), rows=tf.gather(x.rows, rows))
        return tf.gather(x, rows)

    return _map(reordered, state)


def _map(function, state):
    """Returns the state with the results of a function of each tensor, `KVCache` and `MemoryCache`."""

    def visit(x):
        return function(x) if isinstance(x, KVCache | MemoryCache) or not keras.tree.is_nested(x) else None

    return keras.tree.traverse(visit, state)

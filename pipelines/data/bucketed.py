"""Rows of tokens in batches of similar length, in an order that is a pure function of (seed, step)."""

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data.order import captured, check_order, check_positive, element, endless, key, shuffled
from ikelos.pipelines.errors import UserError


def bucketed(
    rows: Sequence[np.ndarray], boundaries: Sequence[int], batch_size: int, seed: int, start_step: int
) -> tf.data.Dataset:
    """Endless batches of rows of similar length.

    A row belongs to the first bucket whose boundary is at least its length, and a batch is padded to its
    bucket's boundary. Over N rows in all, each N steps draw each row exactly B times: a bucket of n rows
    fills n of these steps. They fall into B epochs, in each of which a bucket gets n / B batches, rounded so
    that it is never a full batch ahead; the order of an epoch's batches is permuted, and so is that of a
    bucket's rows, anew each time that they have all been drawn (then a batch may hold a row twice).

    Args:
        rows: int32 arrays of at least one and at most `boundaries[-1]` tokens (see `pieces`).
        boundaries: the longest length that each bucket takes, ascending.
        batch_size: B, rows a batch.
        seed: any int32; other seeds give other orders.
        start_step: the step of the first batch; the batch of a step is the same whatever the start.

    Returns:
        Batches as the module says, with T the bucket's boundary, weight 0 on padding. `id` is the index in
        `rows`.

    Raises:
        UserError: if there are no rows, one does not fit, or a number is out of range.
    """
    check_positive(batch_size=batch_size)
    check_order(seed, start_step)
    boundaries = np.asarray(boundaries, np.int64)
    lengths = np.array([len(row) for row in rows], np.int64)
    if not boundaries.size or boundaries[0] < 1 or (np.diff(boundaries) < 1).any():
        raise UserError(
            f"boundaries must be positive and ascending. Received: boundaries={boundaries.tolist()}"
        )
    if not lengths.size:
        raise UserError("bucketed batches need at least one row; there are 0")
    if lengths.min() < 1 or lengths.max() > boundaries[-1]:
        raise UserError(
            f"rows must have 1 to {boundaries[-1]} tokens (the last of boundaries={boundaries.tolist()}); "
            f"there are rows of {lengths.min()} to {lengths.max()}"
        )
    bucket_of_row = np.searchsorted(boundaries, lengths)
    sizes = np.bincount(bucket_of_row, minlength=len(boundaries))
    # Through epoch e a bucket of n rows has filled ceil(e * n / B) batches: all start with one, and all are
    # even after B epochs.
    filled = -(-np.arange(batch_size + 1)[:, None] * sizes // batch_size)
    visits = [
        (bucket, visit)
        for before, after in itertools.pairwise(filled)
        for bucket in range(len(boundaries))
        for visit in range(before[bucket], after[bucket])
    ]
    visits = captured(visits, tf.int64)
    epoch_starts = captured(filled.sum(1), tf.int64)
    tokens = captured(np.concatenate(rows), tf.int32)
    row_starts = captured(np.cumsum(lengths) - lengths, tf.int64)
    by_bucket = captured(np.argsort(bucket_of_row, kind="stable"), tf.int64)
    bucket_starts = captured(np.cumsum(sizes) - sizes, tf.int64)
    lengths, sizes, boundaries = (captured(x, tf.int64) for x in (lengths, sizes, boundaries))
    steps = len(rows)

    def batch(step):
        cycle, step_in_cycle = step // steps, step % steps
        epoch = tf.searchsorted(epoch_starts, step_in_cycle[None], side="right", out_type=tf.int64)[0] - 1
        first, end = epoch_starts[epoch], epoch_starts[epoch + 1]
        epoch_key = key(seed, cycle * batch_size + epoch, stream=0)
        visit = visits[first + shuffled(step_in_cycle - first, epoch_key, end - first)]
        bucket, size = visit[0], sizes[visit[0]]
        draw = (cycle * size + visit[1]) * batch_size + tf.range(batch_size, dtype=tf.int64)
        place = shuffled(draw % size, key(seed, draw // size, stream=1 + bucket), size)
        row = tf.gather(by_bucket, bucket_starts[bucket] + place)
        offsets = tf.range(boundaries[bucket])
        counted = offsets < tf.gather(lengths, row)[:, None]
        at = tf.where(counted, tf.gather(row_starts, row)[:, None] + offsets, 0)
        return element(row, tf.gather(tokens, at), counted, counted)

    return endless(batch, start_step)


def pieces(documents: Sequence[np.ndarray], context: int) -> list[np.ndarray]:
    """Cuts documents into consecutive rows of `context` tokens; a document's last row may be shorter."""
    check_positive(context=context)
    return [
        document[start : start + context]
        for document in documents
        for start in range(0, len(document), context)
    ]

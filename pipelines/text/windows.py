"""Windows of tokens as tf.data sets whose order is a pure function of (seed, step).

Every element is a batch `{"id": int64 [B], "x": int32 [B, T], "y": int32 [B, T], "sample_weight": float32
[B, T]}`: `y` holds the tokens to predict, `x` the same tokens one place later behind the begin-of-text id,
and `sample_weight` is 0 where `y` is not to be counted. Nothing is kept between elements, so a run that
resumes at step s asks for `start_step=s` and needs no iterator state.

`packed` cuts one long array of tokens and `bucketed` takes rows of similar length (both endless, for
training); `strided` covers documents exactly once (finite, for evaluation).
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data.order import captured, check_order, check_positive, endless, key, shuffled
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD

# Where a permutation puts one fixed index is far from uniform over random keys when the range is short
# (chi-squared 4000 for 49 degrees of freedom over 1000 places), and uniform over this one (42, taken modulo
# 1000).
_EVEN = 1 << 62


def joined(documents: Sequence[np.ndarray]) -> np.ndarray:
    """Joins documents to one int32 array, each document followed by the end-of-text id."""
    end = np.array([END], np.int32)
    return np.concatenate([np.empty(0, np.int32), *(part for document in documents for part in (document, end))])


def packed(
    tokens: np.ndarray, context: int, batch_size: int, seed: int, start_step: int, *, name: str = "data.train"
) -> tf.data.Dataset:
    """Endless batches of full windows over one array of tokens.

    With N tokens and windows of T, an epoch has n = N // T windows that don't overlap, in an order permuted
    anew each epoch. They start at a phase drawn anew each epoch from [0, N), and the last one wraps around to
    the array's beginning; so the borders move, every token is seen at most once an epoch, and the N % T
    tokens that are left out are others each time. Examples are numbered through (step * B + row), so a batch
    may end one epoch and begin the next.

    Args:
        tokens: int32 [N], documents each followed by end-of-text (see `joined`).
        context: T, tokens a window.
        batch_size: B, windows a batch.
        seed: any int32; other seeds give other orders.
        start_step: the step of the first batch; the batch of a step is the same whatever the start.
        name: what the tokens are called in an error.

    Returns:
        Batches as the module says, all weights 1. `id` is the offset in `tokens` at which the window starts.

    Raises:
        UserError: if the tokens don't fill one window, or a number is out of range.
    """
    check_positive(context=context, batch_size=batch_size)
    check_order(seed, start_step)
    count = len(tokens)
    if count < context:
        raise UserError(f"{name} has {count} tokens; a window needs {context} (context={context})")
    windows = count // context
    tokens = captured(tokens, tf.int32)

    def batch(step):
        example = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        epoch = example // windows
        phase = shuffled(tf.zeros_like(epoch), key(seed, epoch, stream=0), _EVEN) % count
        place = shuffled(example % windows, key(seed, epoch, stream=1), windows)
        start = (phase + place * context) % count
        y = tf.gather(tokens, (start[:, None] + tf.range(context, dtype=tf.int64)) % count)
        filled = tf.ones_like(y, tf.bool)
        return _element(start, y, filled, filled)

    return endless(batch, start_step)


def bucketed(
    rows: Sequence[np.ndarray], boundaries: Sequence[int], batch_size: int, seed: int, start_step: int
) -> tf.data.Dataset:
    """Endless batches of rows of similar length.

    A row belongs to the first bucket whose boundary is at least its length, and a batch is padded to its
    bucket's boundary. Over N rows in all, every N steps draw each row exactly B times: a bucket of n rows
    fills n of these steps, spread over all of them. A bucket's rows are drawn in an order that is permuted
    anew each time that all were drawn, so that no row is ever more than one draw ahead of another one; a
    batch that ends one such round and begins the next may hold a row twice.

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
    boundaries = list(boundaries)
    if not boundaries or boundaries[0] < 1 or (np.diff(boundaries) < 1).any():
        raise UserError(f"boundaries must be positive and ascending. Received: boundaries={boundaries}")
    lengths = np.array([len(row) for row in rows], np.int64)
    if not lengths.size:
        raise UserError("bucketed batches need at least one row; there are 0")
    if lengths.min() < 1 or lengths.max() > boundaries[-1]:
        raise UserError(
            f"rows must have 1 to {boundaries[-1]} tokens (the last of boundaries={boundaries}); "
            f"there are rows of {lengths.min()} to {lengths.max()}"
        )
    bucket_of_row = np.searchsorted(boundaries, lengths)
    sizes = np.bincount(bucket_of_row, minlength=len(boundaries))
    # A bucket of n rows is visited n times a cycle: once in each n-th part of it, at a time that the seed
    # chooses there.
    bucket = np.repeat(np.arange(len(boundaries)), sizes)
    visit = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[bucket]
    jitter = tf.random.stateless_uniform([len(rows)], seed=[seed, 0], dtype=tf.float64).numpy()
    schedule = np.argsort((visit + jitter) / sizes[bucket], kind="stable")
    buckets, visits = captured(bucket[schedule], tf.int64), captured(visit[schedule], tf.int64)
    tokens = captured(np.concatenate(rows), tf.int32)
    row_starts = captured(np.cumsum(lengths) - lengths, tf.int64)
    by_bucket = captured(np.argsort(bucket_of_row, kind="stable"), tf.int64)
    bucket_starts = captured(np.cumsum(sizes) - sizes, tf.int64)
    longest, lengths, sizes = (captured(x, tf.int64) for x in (boundaries, lengths, sizes))
    steps = len(rows)

    def batch(step):
        bucket = buckets[step % steps]
        size = sizes[bucket]
        visit = step // steps * size + visits[step % steps]
        draw = visit * batch_size + tf.range(batch_size, dtype=tf.int64)
        place = shuffled(draw % size, key(seed, draw // size, stream=bucket), size)
        row = tf.gather(by_bucket, bucket_starts[bucket] + place)
        offsets = tf.range(longest[bucket])
        counted = offsets < tf.gather(lengths, row)[:, None]
        at = tf.where(counted, tf.gather(row_starts, row)[:, None] + offsets, 0)
        return _element(row, tf.gather(tokens, at), counted, counted)

    return endless(batch, start_step)


def pieces(documents: Sequence[np.ndarray], context: int) -> list[np.ndarray]:
    """Cuts documents into consecutive rows of `context` tokens; a document's last row may be shorter."""
    check_positive(context=context)
    return [document[start : start + context] for document in documents for start in range(0, len(document), context)]


def strided(documents: Sequence[np.ndarray], context: int, stride: int, batch_size: int) -> tf.data.Dataset:
    """Batches that count every token of every document exactly once, given what came before it.

    With windows of T and strides of S, a document's first window predicts its first T tokens with nothing
    before them but the begin-of-text id. Each later window counts the next S tokens (the last one those that
    remain) and places them at its end: its other tokens are context and weigh 0. So a counted token at place
    p of a document sees the min(p, at least T - S) tokens before it. Each window starts with the
    begin-of-text id, as in training. A document shorter than a window is padded.

    Args:
        documents: int32 arrays; whoever wants the end of a text counted appends the end-of-text id. Empty
            ones have no windows.
        context: T, tokens a window.
        stride: S, from 1 (longest context, slowest) to T (windows don't overlap).
        batch_size: B, windows a batch; the last batch may have fewer.

    Returns:
        A finite data set of batches as the module says, in the documents' order, weight 1 on counted tokens.
        `id` is the offset of the window's first token in all documents joined without separators.

    Raises:
        UserError: if there are no tokens, or a number is out of range.
    """
    check_positive(context=context, stride=stride, batch_size=batch_size)
    if stride > context:
        raise UserError(
            f"stride must be at most context={context}, or tokens would be skipped. Received: stride={stride}"
        )
    begin, starts, news, ends = 0, [], [], []
    for document in documents:
        length = len(document)
        new = np.array([0, *range(context, length, stride)])[:length]
        end = np.append(new[1:], length)[: len(new)]
        starts.append(begin + np.maximum(end - context, 0))
        news.append(begin + new)
        ends.append(begin + end)
        begin += length
    if not begin:
        raise UserError("there are 0 tokens to evaluate")
    starts, news, ends = (captured(np.concatenate(x), tf.int64) for x in (starts, news, ends))
    tokens = captured(np.concatenate(documents), tf.int32)
    windows = int(starts.shape[0])

    def batch(step):
        window = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, windows))
        start, new, end = (tf.gather(x, window)[:, None] for x in (starts, news, ends))
        at = start + tf.range(context, dtype=tf.int64)
        filled = at < end
        return _element(start[:, 0], tf.gather(tokens, tf.where(filled, at, 0)), filled, filled & (at >= new))

    batches = -(-windows // batch_size)
    return tf.data.Dataset.range(batches).map(batch).prefetch(2)


def _element(ids, tokens, filled, counted):
    """The batch of these ids [B] and targets [B, T]: padding where not filled, weight 1 where counted."""
    x = tf.concat([tf.fill([tf.shape(tokens)[0], 1], BEGIN), tokens[:, :-1]], axis=1)
    return {
        "id": ids,
        "x": tf.where(filled, x, PAD),
        "y": tf.where(filled, tokens, PAD),
        "sample_weight": tf.cast(counted, tf.float32),
    }

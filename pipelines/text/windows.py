"""Windows of tokens as tf.data sets whose order is a pure function of (seed, step, shard).

Every element is a batch `{"id": int64 [B], "x": int32 [B, T], "y": int32 [B, T], "sample_weight": float32
[B, T]}`, of a shard the shard's rows of it: `y` holds the tokens to predict, `x` the same tokens one place
later behind the begin-of-text id, and `sample_weight` is 0 where `y` is not to be counted. Nothing is kept
between elements, so a run that resumes at step s asks for `start_step=s` and needs no iterator state.

Tokens are read where they lie, in memory or in a file (`data.store`). `packed` cuts one long array of tokens
and `bucketed` takes rows of similar length (both endless, for training); `strided` covers documents exactly
once (finite, for evaluation).
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE, Shard, by_step, check_order, check_positive, endless, key, shuffled
from ikelos.pipelines.data.store import Ragged, tensor
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import BEGIN, PAD

# Where a permutation puts one fixed index is far from uniform over random keys when the range is short
# (chi-squared 4000 for 49 degrees of freedom over 1000 places), and uniform over this one (42, taken modulo
# 1000).
_EVEN = 1 << 62


def packed(
    tokens: np.ndarray, context: int, batch_size: int, seed: int, start_step: int, shard: Shard = WHOLE
) -> tf.data.Dataset:
    """Endless batches of full windows over one array of tokens.

    With N tokens and windows of T, an epoch has n = N // T windows that don't overlap, in an order permuted
    anew each epoch. They start at a phase drawn anew each epoch from [0, N), and the last one wraps around to
    the array's beginning; so the borders move, every token is seen at most once an epoch, and the N % T
    tokens that are left out are others each time. Examples are numbered through (step * B + row), so a batch
    may end one epoch and begin the next.

    Args:
        tokens: integers [N], documents each followed by end-of-text.
        context: T, tokens a window.
        batch_size: B, windows a batch.
        seed: any int32; other seeds give other orders.
        start_step: the step of the first batch; the batch of a step is the same whatever the start.
        shard: which rows of each batch are wanted.

    Returns:
        Batches as the module says, all weights 1. `id` is the offset in `tokens` at which the window starts.

    Raises:
        UserError: if the tokens don't fill one window, or a number is out of range.
    """
    check_positive(context=context, batch_size=batch_size)
    check_order(seed, start_step)
    count = len(tokens)
    if count < context:
        raise UserError(f"data.train has {count} tokens; a window needs {context} (context={context})")
    windows = count // context
    where, rows = tensor(tokens), shard.rows(batch_size)

    def batch(step):
        example = step * batch_size + rows
        epoch = example // windows
        phase = shuffled(tf.zeros_like(epoch), key(seed, epoch, stream=0), _EVEN) % count
        place = shuffled(example % windows, key(seed, epoch, stream=1), windows)
        start = (phase + place * context) % count
        y = tf.gather(where, (start[:, None] + tf.range(context, dtype=tf.int64)) % count)
        filled = tf.ones_like(y, tf.bool)
        return _element(start, y, filled, filled)

    return endless(batch, start_step)


def bucketed(
    rows: Ragged,
    boundaries: Sequence[int],
    batch_size: int,
    seed: int,
    start_step: int,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Endless batches of rows of similar length.

    A row belongs to the first bucket whose boundary is at least its length, and a batch is padded to its
    bucket's boundary. Over N rows in all, every N steps draw each row exactly B times: a bucket of n rows
    fills n of these steps, spread over all of them. A bucket's rows are drawn in an order that is permuted
    anew each time that all were drawn, so that no row is ever more than one draw ahead of another one; a
    batch that ends one such round and begins the next may hold a row twice.

    It keeps some 30 bytes a row in memory, and needs twice as many for a moment.

    Args:
        rows: integers, arrays of at least one and at most `boundaries[-1]` tokens (see `pieces`).
        boundaries: the longest length that each bucket takes, ascending.
        batch_size: B, rows a batch.
        seed: any int32; other seeds give other orders.
        start_step: the step of the first batch; the batch of a step is the same whatever the start.
        shard: which rows of each batch are wanted.

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
    lengths = rows.lengths
    if not lengths.size:
        raise UserError("bucketed batches need at least one row; there are 0")
    if lengths.min() < 1 or lengths.max() > boundaries[-1]:
        raise UserError(
            f"rows must have 1 to {boundaries[-1]} tokens (the last of boundaries={boundaries}); "
            f"there are rows of {lengths.min()} to {lengths.max()}"
        )
    bucket_of_row = np.searchsorted(boundaries, lengths).astype(np.min_scalar_type(len(boundaries)))
    sizes = np.bincount(bucket_of_row, minlength=len(boundaries))
    # A bucket of n rows is visited n times a cycle: once in each n-th part of it, at a time that the seed
    # chooses there.
    bucket = np.repeat(np.arange(len(boundaries), dtype=bucket_of_row.dtype), sizes)
    visit = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[bucket]
    jitter = tf.random.stateless_uniform([len(rows)], seed=[seed, 0], dtype=tf.float64).numpy()
    schedule = np.argsort((visit + jitter) / sizes[bucket], kind="stable")
    buckets, visits = tensor(bucket[schedule]), tensor(visit[schedule])
    tokens, ends = tensor(rows.values), tensor(rows.ends)
    by_bucket = tensor(np.argsort(bucket_of_row, kind="stable"))
    bucket_starts, longest, sizes = (
        tensor(np.asarray(x, np.int64)) for x in (np.cumsum(sizes) - sizes, boundaries, sizes)
    )
    steps, wanted = len(rows), shard.rows(batch_size)

    def batch(step):
        bucket = tf.cast(buckets[step % steps], tf.int64)
        size = sizes[bucket]
        visit = step // steps * size + visits[step % steps]
        draw = visit * batch_size + wanted
        place = shuffled(draw % size, key(seed, draw // size, stream=bucket), size)
        row = tf.gather(by_bucket, bucket_starts[bucket] + place)
        start, end = (tf.gather(ends, at)[:, None] for at in (row, row + 1))
        at = start + tf.range(longest[bucket])
        filled = at < end
        return _element(row, tf.gather(tokens, tf.where(filled, at, 0)), filled, filled)

    return endless(batch, start_step)


def pieces(documents: Ragged, context: int) -> Ragged:
    """Cuts documents into consecutive rows of `context` tokens; a document's last row may be shorter."""
    check_positive(context=context)
    number = -(-documents.lengths // context)
    document = np.repeat(np.arange(len(documents)), number)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    ends = np.minimum(documents.ends[document] + (within + 1) * context, documents.ends[document + 1])
    return Ragged(documents.values, np.concatenate([documents.ends[:1], ends]))


def strided(documents: Ragged, context: int, stride: int, batch_size: int) -> tf.data.Dataset:
    """Batches that count every token of every document exactly once, given what came before it.

    With windows of T and strides of S, a document's first window predicts its first T tokens with nothing
    before them but the begin-of-text id. Each later window counts the next S tokens (the last one those that
    remain) and places them at its end: its other tokens are context and weigh 0. So a counted token at place
    p of a document sees the min(p, at least T - S) tokens before it. Each window starts with the
    begin-of-text id, as in training. A document shorter than a window is padded.

    Args:
        documents: integers; whoever wants the end of a text counted appends the end-of-text id. Empty ones
            have no windows.
        context: T, tokens a window.
        stride: S, from 1 (longest context, slowest) to T (windows don't overlap).
        batch_size: B, windows a batch; the last batch may have fewer.

    Returns:
        A finite data set of batches as the module says, in the documents' order, weight 1 on counted tokens.
        `id` is the offset of the window's first token in the documents' values.

    Raises:
        UserError: if there are no tokens, or a number is out of range.
    """
    check_positive(context=context, stride=stride, batch_size=batch_size)
    if stride > context:
        raise UserError(
            f"stride must be at most context={context}, or tokens would be skipped. Received: stride={stride}"
        )
    lengths = documents.lengths
    if not lengths.sum():
        raise UserError("there are 0 tokens to evaluate")
    number = np.where(lengths > 0, 1 + -(-np.maximum(lengths - context, 0) // stride), 0)
    document = np.repeat(np.arange(len(documents)), number)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    begin, last = documents.ends[document], documents.ends[document + 1]
    # What a window counts: from `new` to `end`; it begins a whole context before its end, or with the document.
    new = begin + np.where(within, context + (within - 1) * stride, 0)
    end = np.minimum(begin + context + within * stride, last)
    starts, news, ends = tensor(np.maximum(end - context, begin)), tensor(new), tensor(end)
    tokens, windows = tensor(documents.values), len(document)

    def batch(step):
        window = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, windows))
        start, new, end = (tf.gather(x, window)[:, None] for x in (starts, news, ends))
        at = start + tf.range(context, dtype=tf.int64)
        filled = at < end
        return _element(start[:, 0], tf.gather(tokens, tf.where(filled, at, 0)), filled, filled & (at >= new))

    return by_step(batch, 0, -(-windows // batch_size))


def _element(ids, tokens, filled, counted):
    """The batch of these ids [B] and targets [B, T]: padding where not filled, weight 1 where counted."""
    tokens = tf.cast(tokens, tf.int32)
    x = tf.concat([tf.fill([tf.shape(tokens)[0], 1], BEGIN), tokens[:, :-1]], axis=1)
    return {
        "id": ids,
        "x": tf.where(filled, x, PAD),
        "y": tf.where(filled, tokens, PAD),
        "sample_weight": tf.cast(counted, tf.float32),
    }

"""Windows of tokens as tf.data sets whose order is a pure function of (seed, step, shard).

Every element is a batch `{"id": int64 [B], "x": int32 [B,T], "y": int32 [B,T], "sample_weight": float32 [B,T]}`, or a
shard's rows of it. `y` holds the tokens to predict; `x` holds the same tokens shifted by one place, after the
begin-of-text id; `sample_weight` is 0 where `y` is not counted. The data sets keep no state, so a run that resumes at
step s only needs `start_step=s`.

Tokens are read in place, from memory or from a mapped file (`data.store`). `packed` cuts one long array of tokens and
`bucketed` batches rows of similar length; both are endless, for training. `strided` counts each token of some documents
exactly once; it is finite, for evaluation.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE, Shard, by_step, check_order, check_positive, endless, key, shuffled
from ikelos.pipelines.data.store import Ragged, tensor
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import BEGIN, PAD

# Over random keys, the image of a fixed index is far from uniform if the permutation's range is short (chi-squared 4000
# with 49 degrees of freedom for a range of 1000), but uniform with this range (chi-squared 42, taken modulo 1000).
_EVEN = 1 << 62


def packed(
    tokens: np.ndarray, context: int, batch_size: int, seed: int, start_step: int, shard: Shard = WHOLE
) -> tf.data.Dataset:
    """Returns an endless dataset of batches of full windows over one array of tokens.

    With N tokens and windows of T, an epoch has n = N // T windows that do not overlap, in a new order each epoch. The
    first window starts at an offset that is drawn from [0, N) each epoch, and the windows wrap around at the array's
    end. So the borders move from epoch to epoch, every token is seen at most once an epoch, and each epoch leaves out
    other N % T tokens. Examples are numbered consecutively (step * B + row), so a batch may span two epochs.

    Args:
        tokens: Integers `[N]`, the documents, each followed by end-of-text.
        context: Tokens in a window, T.
        batch_size: Windows in a batch, B.
        seed: Any int32; it determines the order.
        start_step: Step of the first batch; the batch of a step does not depend on it.
        shard: Share of each batch to return.

    Returns:
        Batches as described in the module, with all weights 1. `id` is the offset in `tokens` of the window's start.

    Raises:
        UserError: If the tokens do not fill one window, a number is out of range, or `batch_size` is not a multiple of
            the number of shards.
    """
    check_positive(context=context, batch_size=batch_size)
    check_order(seed, start_step)
    count = len(tokens)
    if count < context:
        raise UserError(
            f"`context` must be at most {count}, the number of training tokens. Received: context={context}"
        )
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
        return _element(start, y, filled)

    return endless(batch, start_step)


def bucketed(
    rows: Ragged,
    boundaries: Sequence[int],
    batch_size: int,
    seed: int,
    start_step: int,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Returns an endless dataset of batches of rows of similar length.

    A row belongs to the first bucket whose boundary is at least its length, and a batch is padded to its bucket's
    boundary. With N rows in all, every N steps draw each row exactly B times: a bucket of n rows takes n of these
    steps, spread evenly. A bucket draws each of its rows once before it draws any again, in a new order each round, so
    no row is ever more than one draw ahead of another. A batch that spans two rounds may hold a row twice.

    The dataset keeps some 30 bytes per row in memory; its creation briefly takes twice as many.

    Args:
        rows: Integers, arrays of at least one and at most `boundaries[-1]` tokens (see `pieces`).
        boundaries: Longest row of each bucket, ascending.
        batch_size: Rows in a batch, B.
        seed: Any int32; it determines the order.
        start_step: Step of the first batch; the batch of a step does not depend on it.
        shard: Share of each batch to return.

    Returns:
        Batches as described in the module, where T is the bucket's boundary and padding has weight 0. `id` is the index
        in `rows`.

    Raises:
        UserError: If there are no rows, a row is empty or longer than the last boundary, the boundaries are not
            ascending, a number is out of range, or `batch_size` is not a multiple of the number of shards.
    """
    draw, padded = by_bucket(rows.lengths, boundaries, batch_size, seed, start_step, shard), padding(rows)

    def batch(step):
        row, longest = draw(step)
        return _element(row, *padded(row, longest))

    return endless(batch, start_step)


def paired(
    sources: Ragged,
    targets: Ragged,
    boundaries: Sequence[int],
    batch_size: int,
    seed: int,
    start_step: int,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Returns an endless dataset of batches of pairs of similar length, whose longer text decides the bucket.

    Order and errors are those of `bucketed`, but pairs with a text longer than the last boundary are left out.

    Args:
        sources: Integers, the source texts.
        targets: Integers, the target texts, each followed by end-of-text.
        boundaries: Longest text of each bucket, ascending.
        batch_size: Pairs in a batch, B.
        seed: Any int32; it determines the order.
        start_step: Step of the first batch; the batch of a step does not depend on it.
        shard: Share of each batch to return.

    Returns:
        Batches as described in the module, where `x` is a dict of `source` and `target`, int32 `[B,T]` each, and T is
        the bucket's boundary. `id` is the index of the pair.
    """
    lengths, kept = _fitting(sources, targets, boundaries[-1])
    draw = by_bucket(lengths, boundaries, batch_size, seed, start_step, shard)
    padded, places = _pairs(sources, targets), tensor(kept)

    def batch(step):
        row, longest = draw(step)
        return padded(tf.gather(places, row), longest, longest)

    return endless(batch, start_step)


def paired_in_order(sources: Ragged, targets: Ragged, longest: int, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of batches of pairs as in `paired`, each pair once, the shortest first.

    Pairs with a text of more than `longest` tokens are left out. Texts are padded to the longest one of their side in
    the batch; the last batch may have fewer pairs.

    Raises:
        UserError: If a number is not positive, or all pairs are too long.
    """
    check_positive(longest=longest, batch_size=batch_size)
    lengths, kept = _fitting(sources, targets, longest)
    if not kept.size:
        raise UserError(f"`longest` must leave a pair of texts. Received: longest={longest}")
    order = tensor(kept[np.argsort(lengths, kind="stable")])
    sides = [tensor(side.lengths) for side in (sources, targets)]
    padded, count = _pairs(sources, targets), len(kept)

    def batch(step):
        row = order[step * batch_size : (step + 1) * batch_size]
        return padded(row, *(tf.reduce_max(tf.gather(side, row)) for side in sides))

    return by_step(batch, 0, -(-count // batch_size))


def fitting(sources: Ragged, targets: Ragged, longest: int) -> int:
    """Returns the number of pairs whose texts have at most `longest` tokens."""
    return len(_fitting(sources, targets, longest)[1])


def _fitting(sources, targets, longest):
    """Returns the lengths of the longer texts of the pairs that have at most `longest` tokens, and their indices."""
    lengths = np.maximum(sources.lengths, targets.lengths)
    kept = np.flatnonzero(lengths <= longest)
    return lengths[kept], kept


def _pairs(sources, targets):
    """Returns a function from the indices of pairs `[B]` and two lengths S and T to their batch, padded to them."""
    of_source, of_target = padding(sources), padding(targets)

    def batch(row, source_length, target_length):
        source, filled = of_source(row, source_length)
        element = _element(row, *of_target(row, target_length))
        source = tf.where(filled, tf.cast(source, tf.int32), PAD)
        return element | {"x": {"source": source, "target": element["x"]}}

    return batch


def padding(rows):
    """Returns a function from indices of rows `[B]` and a length T to their tokens `[B,T]` and which are no padding."""
    tokens, ends = tensor(rows.values), tensor(rows.ends)

    def padded(row, longest):
        start, end = (tf.gather(ends, at)[:, None] for at in (row, row + 1))
        at = start + tf.range(longest)
        filled = at < end
        return tf.gather(tokens, tf.where(filled, at, 0)), filled

    return padded


def by_bucket(lengths, boundaries, batch_size, seed, start_step, shard):
    """Returns a function from a step to its rows and the boundary of their bucket, in the order of `bucketed`.

    Args:
        lengths: int `[N]`, length of each row, at least 1.
        boundaries: Longest row of each bucket, ascending.
        batch_size: Rows in a batch.
        seed: Any int32; it determines the order.
        start_step: Step of the first batch, only checked.
        shard: Share of each batch to return.

    Raises:
        UserError: As `bucketed`.
    """
    check_positive(batch_size=batch_size)
    check_order(seed, start_step)
    boundaries = list(boundaries)
    if not boundaries or boundaries[0] < 1 or (np.diff(boundaries) < 1).any():
        raise UserError(f"`boundaries` must be positive and ascending. Received: boundaries={boundaries}")
    if not lengths.size:
        raise UserError("`rows` must have at least one row. Received: no rows")
    if lengths.min() < 1 or lengths.max() > boundaries[-1]:
        raise UserError(
            f"`rows` must have 1 to {boundaries[-1]} tokens each, the last of boundaries={boundaries}. "
            f"Received: rows of {lengths.min()} to {lengths.max()} tokens"
        )
    bucket_of_row = np.searchsorted(boundaries, lengths).astype(np.min_scalar_type(len(boundaries)))
    sizes = np.bincount(bucket_of_row, minlength=len(boundaries))
    # A cycle of N steps visits a bucket of n rows n times: once in each n-th part, at a random time within it.
    bucket = np.repeat(np.arange(len(boundaries), dtype=bucket_of_row.dtype), sizes)
    visit = np.arange(len(lengths)) - (np.cumsum(sizes) - sizes)[bucket]
    jitter = tf.random.stateless_uniform([len(lengths)], seed=[seed, 0], dtype=tf.float64).numpy()
    schedule = np.argsort((visit + jitter) / sizes[bucket], kind="stable")
    buckets, visits = tensor(bucket[schedule]), tensor(visit[schedule])
    in_buckets = tensor(np.argsort(bucket_of_row, kind="stable"))
    bucket_starts, longest, sizes = (
        tensor(np.asarray(x, np.int64)) for x in (np.cumsum(sizes) - sizes, boundaries, sizes)
    )
    steps, wanted = len(lengths), shard.rows(batch_size)

    def draw(step):
        bucket = tf.cast(buckets[step % steps], tf.int64)
        size = sizes[bucket]
        visit = step // steps * size + visits[step % steps]
        number = visit * batch_size + wanted
        place = shuffled(number % size, key(seed, number // size, stream=bucket), size)
        return tf.gather(in_buckets, bucket_starts[bucket] + place), longest[bucket]

    return draw


def pieces(documents: Ragged, context: int) -> Ragged:
    """Returns documents cut into consecutive rows of `context` tokens; a document's last row may be shorter.

    Raises:
        UserError: If `context` is not positive.
    """
    check_positive(context=context)
    number = -(-documents.lengths // context)
    document = np.repeat(np.arange(len(documents)), number)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    ends = np.minimum(documents.ends[document] + (within + 1) * context, documents.ends[document + 1])
    return Ragged(documents.values, np.concatenate([documents.ends[:1], ends]))


def strided(documents: Ragged, context: int, stride: int, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of batches that count every token of every document once, each with its context.

    With windows of T and strides of S, a document's first window counts its first T tokens. Each later window counts
    the next S tokens (the last window those that remain) and places them at its end; the tokens before them are context
    with weight 0. So a counted token at place p of its document sees at least the min(p, T - S) tokens before it. Every
    window starts with the begin-of-text id, as in training. A document shorter than a window is padded.

    Args:
        documents: Integers; to count the end of a text, append the end-of-text id. Empty documents have no windows.
        context: Tokens in a window, T.
        stride: Tokens counted by each later window, S, from 1 (longest context, slowest) to T (no overlap).
        batch_size: Windows in a batch, B; the last batch may have fewer.

    Returns:
        A finite data set of batches as described in the module, in the documents' order, with weight 1 on counted
        tokens. `id` is the offset of the window's first token in the documents' values.

    Raises:
        UserError: If there are no tokens, or a number is out of range.
    """
    check_positive(context=context, stride=stride, batch_size=batch_size)
    if stride > context:
        raise UserError(
            f"`stride` must be at most the context, {context}, or tokens would be skipped. Received: stride={stride}"
        )
    lengths = documents.lengths
    if not lengths.sum():
        raise UserError("`documents` must have at least one token. Received: no tokens")
    number = np.where(lengths > 0, 1 + -(-np.maximum(lengths - context, 0) // stride), 0)
    document = np.repeat(np.arange(len(documents)), number)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    begin, last = documents.ends[document], documents.ends[document + 1]
    # A window counts the tokens `[new, end)`; it begins T tokens before its end, or at the document's beginning.
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


def ending_at(documents: Ragged, places: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns windows that end at given tokens, each with the tokens of its document before it.

    Args:
        documents: Integers; each document begins with the begin-of-text id.
        places: Indices of the last tokens in the documents' values, int64 `[n]`.
        context: Tokens in a window, T. If there are more, the begin-of-text id replaces those that do not fit.

    Returns:
        The windows, int32 `[n,T]`, padded at the end, and their lengths, int32 `[n]`.
    """
    check_positive(context=context)
    begin = documents.ends[np.searchsorted(documents.ends, places, side="right") - 1]
    start = np.maximum(begin, places + 1 - context)
    at = start[:, None] + np.arange(context)
    filled = at <= places[:, None]
    windows = np.where(filled, documents.values[np.where(filled, at, 0)].astype(np.int32), PAD)
    windows[:, 0] = BEGIN
    return windows, (places + 1 - start).astype(np.int32)


def _element(ids, tokens, filled, counted=None):
    """Returns a batch of ids `[B]` and targets `[B,T]`, with padding unless `filled` and weight 1 if `counted`.

    By default, all that are filled are counted.
    """
    counted = filled if counted is None else counted
    tokens = tf.cast(tokens, tf.int32)
    x = tf.concat([tf.fill([tf.shape(tokens)[0], 1], BEGIN), tokens[:, :-1]], axis=1)
    return {
        "id": ids,
        "x": tf.where(filled, x, PAD),
        "y": tf.where(filled, tokens, PAD),
        "sample_weight": tf.cast(counted, tf.float32),
    }

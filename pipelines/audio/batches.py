"""Batches of recordings with their tokens, as tf.data sets whose order is a pure function of (seed, step, shard).

Every element is a batch `{"id": int64 [B], "x": {"audio": float32 [B,L], "length": int32 [B]}, "y": int32 [B,U],
"sample_weight": float32 [B]}`, or a shard's rows of it. Samples are in [-1, 1); `y` has the tokens without end-of-text,
padded with zeros; a row's weight is the number of its tokens.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.audio.pcm import FULL_SCALE
from ikelos.pipelines.data.order import WHOLE, Shard, by_step, check_positive, endless
from ikelos.pipelines.data.store import Ragged, tensor
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import END, PAD
from ikelos.pipelines.text.windows import by_bucket, padding


def bucketed(
    audio: Ragged,
    tokens: Ragged,
    rows: np.ndarray,
    boundaries: Sequence[int],
    batch_size: int,
    seed: int,
    start_step: int,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Returns an endless dataset of batches of recordings of similar length, in the order of `text.windows.bucketed`.

    Args:
        audio: int16, the samples.
        tokens: Integers, the transcripts, each followed by end-of-text.
        rows: Indices of the recordings to draw; one that is in it twice is drawn twice as often.
        boundaries: Samples of the longest recording of each bucket, ascending; a batch is padded to its bucket's.
        batch_size: Recordings in a batch, B.
        seed: Any int32; it determines the order.
        start_step: Step of the first batch; the batch of a step does not depend on it.
        shard: Share of each batch to return.

    Raises:
        UserError: If there are no rows, one is longer than the last boundary, the boundaries are not ascending, a
            number is out of range, or `batch_size` is not a multiple of the number of shards.
    """
    draw = by_bucket(audio.lengths[rows], boundaries, batch_size, seed, start_step, shard)
    element, places = _elements(audio, tokens), tensor(rows)

    def batch(step):
        drawn, longest = draw(step)
        return element(tf.gather(places, drawn), longest)

    return endless(batch, start_step)


def usable(audio: Ragged, tokens: Ragged, longest: int, num_frames: Callable[[tf.Tensor], tf.Tensor]) -> np.ndarray:
    """Returns the indices of the recordings that are not too long, and have the frames that CTC needs for their tokens:
    one for each, and a blank between equal neighbours.

    Args:
        audio: int16, the samples.
        tokens: Integers, the transcripts, each followed by end-of-text.
        longest: Most samples of a recording.
        num_frames: Function from numbers of samples to the network's numbers of frames.
    """
    equal = np.concatenate([[0], np.cumsum(tokens.values[1:] == tokens.values[:-1])])
    needed = tokens.lengths - 1 + equal[tokens.ends[1:] - 1] - equal[tokens.ends[:-1]]
    return np.flatnonzero((audio.lengths <= longest) & (needed <= num_frames(tf.constant(audio.lengths)).numpy()))


def emphasised(rows: np.ndarray, groups: Sequence[str], times: Mapping[str, int]) -> np.ndarray:
    """Returns indices of recordings in which those of some groups occur several times.

    Args:
        rows: Indices of recordings, int64.
        groups: Group of each recording.
        times: How often the recordings of a group occur, by its name; those of others occur once.

    Raises:
        UserError: If there is no group of such a name.
    """
    if missing := times.keys() - set(groups):
        raise UserError(
            f"`data.emphasis` must name groups of the training split: {', '.join(sorted(set(groups)))}. "
            f"Received: {', '.join(sorted(missing))}"
        )
    return np.repeat(rows, [times.get(groups[row], 1) for row in rows])


def in_order(audio: Ragged, tokens: Ragged, rows: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of batches with each of the recordings in `rows` once, the shortest first.

    A batch is padded to its longest recording; the last one may have fewer rows.

    Raises:
        UserError: If a number is not positive, or there are no rows.
    """
    check_positive(batch_size=batch_size)
    if not len(rows):
        raise UserError("`rows` must have a recording. Received: none")
    order = tensor(rows[np.argsort(audio.lengths[rows], kind="stable")])
    element, lengths = _elements(audio, tokens), tensor(audio.lengths)

    def batch(step):
        row = order[step * batch_size : (step + 1) * batch_size]
        return element(row, tf.reduce_max(tf.gather(lengths, row)))

    return by_step(batch, 0, -(-len(rows) // batch_size))


def _elements(audio, tokens):
    """Returns a function from the indices of recordings `[B]` and a number of samples L to their batch."""
    samples, labels = padding(audio), padding(tokens)
    lengths, sizes = (tensor(ragged.lengths) for ragged in (audio, tokens))

    def element(row, longest):
        heard, filled = samples(row, longest)
        heard = tf.where(filled, tf.cast(heard, tf.float32) / FULL_SCALE, 0.0)
        number = tf.gather(sizes, row)
        y, filled = labels(row, tf.reduce_max(number))
        y = tf.cast(y, tf.int32)
        return {
            "id": row,
            "x": {"audio": heard, "length": tf.cast(tf.gather(lengths, row), tf.int32)},
            "y": tf.where(filled & (y != END), y, PAD)[:, :-1],
            "sample_weight": tf.cast(number - 1, tf.float32),
        }

    return element

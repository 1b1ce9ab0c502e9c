"""Batches of recordings with their tokens, as tf.data sets whose order is a pure function of (seed, step, shard).

Every element is a batch `{"id": int64 [B], "x": {"audio": float32 [B,L], "length": int32 [B]}, "y": int32 [B,U],
"sample_weight": float32 [B]}`, or a shard's rows of it. Samples are in [-1, 1); `y` has the tokens without end-of-text,
padded with zeros; a row's weight is the number of its tokens, and its id the index of its first recording.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.audio.examples import Examples
from ikelos.pipelines.audio.pcm import FULL_SCALE
from ikelos.pipelines.data.order import WHOLE, Shard, by_step, check_positive, endless
from ikelos.pipelines.data.store import Ragged, tensor
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.special import END, PAD
from ikelos.pipelines.text.windows import by_bucket, padding


def bucketed(
    audio: Ragged,
    examples: Examples,
    boundaries: Sequence[int],
    batch_size: int,
    seed: int,
    start_step: int,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Returns an endless dataset of batches of examples of similar length, in the order of `text.windows.bucketed`.

    Args:
        audio: int16, the samples of all recordings.
        examples: The examples to draw; one that is in it twice is drawn twice as often.
        boundaries: Samples of the longest example of each bucket, ascending; a batch is padded to its bucket's.
        batch_size: Examples in a batch, B.
        seed: Any int32; it determines the order.
        start_step: Step of the first batch; the batch of a step does not depend on it.
        shard: Share of each batch to return.

    Raises:
        UserError: If there are no examples, one is longer than the last boundary, the boundaries are not ascending, a
            number is out of range, or `batch_size` is not a multiple of the number of shards.
    """
    draw = by_bucket(examples.lengths(audio), boundaries, batch_size, seed, start_step, shard)
    element = _elements(audio, examples)
    return endless(lambda step: element(*draw(step)), start_step)


def in_order(audio: Ragged, tokens: Ragged, rows: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Returns a finite dataset of batches with each of the recordings in `rows` once, the shortest first.

    A batch is padded to its longest recording; the last one may have fewer rows.

    Raises:
        UserError: If a number is not positive, or there are no rows.
    """
    check_positive(batch_size=batch_size)
    if not len(rows):
        raise UserError("`rows` must have a recording. Received: none")
    ordered = rows[np.argsort(audio.lengths[rows], kind="stable")]
    element, lengths = _elements(audio, Examples.of(ordered, tokens)), tensor(audio.lengths[ordered])

    def batch(step):
        place = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, len(ordered)))
        return element(place, tf.reduce_max(tf.gather(lengths, place)))

    return by_step(batch, 0, -(-len(rows) // batch_size))


def _elements(audio, examples):
    """Returns a function from the indices of examples `[B]` and a number of samples L to their batch."""
    samples, starts, sizes = (tensor(array) for array in (audio.values, audio.ends[:-1], audio.lengths))
    recordings = tf.RaggedTensor.from_row_splits(tensor(examples.recordings.values), tensor(examples.recordings.ends))
    labels, numbers, rows = padding(examples.tokens), tensor(examples.tokens.lengths), tensor(examples.transcripts)

    def element(place, longest):
        parts = tf.gather(recordings, place)
        start, size = (tf.gather(array, parts.values) for array in (starts, sizes))
        # Places of samples `[B,(parts),(samples)]`, then `[B,L]` with -1 for padding.
        at = parts.with_values(tf.ragged.range(start, start + size)).merge_dims(1, 2).to_tensor(-1)
        at = tf.pad(at, [[0, 0], [0, longest - tf.shape(at, tf.int64)[1]]], constant_values=-1)
        heard = tf.where(at < 0, 0.0, tf.cast(tf.gather(samples, tf.maximum(at, 0)), tf.float32) / FULL_SCALE)
        row = tf.gather(rows, place)
        number = tf.gather(numbers, row)
        y, filled = labels(row, tf.reduce_max(number))
        y = tf.cast(y, tf.int32)
        return {
            "id": tf.gather(recordings.values, tf.gather(recordings.row_starts(), place)),
            "x": {"audio": heard, "length": tf.cast(tf.reduce_sum(parts.with_values(size), axis=1), tf.int32)},
            "y": tf.where(filled & (y != END), y, PAD)[:, :-1],
            "sample_weight": tf.cast(number - 1, tf.float32),
        }

    return element

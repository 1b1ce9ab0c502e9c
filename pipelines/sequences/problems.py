"""The copy and the adding problem (Hochreiter and Schmidhuber 1997, section 5), generated from a seed and a step.

All examples of a batch have the same lag. The first batch has the first lag, the next one the next, and so on.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

import keras
import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE, Shard, by_step, check_order, endless

TRAIN, VALIDATION, TEST = range(3)
"""Streams of random numbers of the three splits."""
Batch = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Copying:
    """The copy problem (Arjovsky et al. 2016, section 4.1): recall some symbols after a lag.

    A network reads the symbols, then blanks, the last of which is a signal, then as many blanks as symbols, at which it
    must recall them. Only these count.

    Attributes:
        symbols: Number of different symbols.
        copied: Number of symbols to copy.
    """

    title: ClassVar[str] = "Copy problem: % of symbols right"
    unit: ClassVar[str] = "nats per symbol"
    """Unit of the loss."""
    symbols: int
    copied: int

    @property
    def outputs(self) -> int:
        """Outputs of a network at each position: the logits of the symbols."""
        return self.symbols

    @property
    def vocabulary_size(self) -> int:
        """Number of inputs: the symbols, a blank and the signal."""
        return self.symbols + 2

    def loss(self) -> keras.losses.Loss:
        """Returns the loss with which a network is trained."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")

    def is_right(self, outputs: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Returns whether a network's output at each position is right, bool `[B,T]`, for targets `[B,T]`."""
        return tf.argmax(outputs, axis=-1, output_type=tf.int32) == y

    def guess(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the best outputs without the sequence: those of any symbol."""
        return tf.one_hot(tf.zeros_like(x), self.symbols)

    def batch(self, numbers: tf.Tensor, lag: tf.Tensor) -> Batch:
        """Returns a batch of random numbers float32 `[B,>=K]` in [0, 1), K the number of symbols to copy."""
        drawn = tf.cast(numbers[:, : self.copied] * self.symbols, tf.int32)
        x = self.inputs(drawn, tf.fill([tf.shape(drawn)[0]], lag))
        silent = tf.zeros([tf.shape(drawn)[0], self.copied + lag], tf.int32)
        weight = tf.concat([silent, tf.ones_like(drawn)], axis=1)
        return {"x": x, "y": tf.concat([silent, drawn], axis=1), "sample_weight": tf.cast(weight, tf.float32)}

    def inputs(self, drawn: tf.Tensor, lag: tf.Tensor) -> tf.Tensor:
        """Returns what a network reads, int32 `[B,T]`, for symbols int32 `[B,K]` and their lags, int32 `[B]`."""
        place, blank = tf.range(2 * self.copied + tf.reduce_max(lag)), self.symbols
        rest = tf.where(place[None, self.copied :] == (self.copied + lag - 1)[:, None], blank + 1, blank)
        return tf.concat([drawn, rest], axis=1)


@dataclasses.dataclass(frozen=True)
class Adding:
    """The adding problem (Le et al. 2015, section 4.1): the sum of two marked numbers.

    A network reads as many numbers in [0, 1) as the lag, with a mark at one in each half, and must give the sum of
    these two at the end.

    Attributes:
        tolerance: Largest error of a sum that is right.
    """

    title: ClassVar[str] = "Adding problem: % of sums right"
    unit: ClassVar[str] = "squared error"
    """Unit of the loss."""
    outputs: ClassVar[int] = 1
    vocabulary_size: ClassVar[None] = None
    """The inputs are no tokens."""
    tolerance: float

    def loss(self) -> keras.losses.Loss:
        """Returns the loss with which a network is trained."""
        return keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")

    def is_right(self, outputs: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Returns whether a network's output at each position is right, bool `[B,T]`, for targets `[B,T,1]`."""
        return tf.abs(outputs - y)[..., 0] <= self.tolerance

    def guess(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the best outputs without the sequence: 1, the mean of a sum."""
        return tf.ones_like(x[..., :1])

    def batch(self, numbers: tf.Tensor, lag: tf.Tensor) -> Batch:
        """Returns a batch of random numbers float32 `[B,>=lag+2]` in [0, 1)."""
        values, half = numbers[:, 2 : lag + 2], lag // 2
        sizes = tf.cast(tf.stack([half, lag - half]), tf.float32)
        places = tf.cast(numbers[:, :2] * sizes, tf.int32) + tf.stack([0, half])
        marks = tf.reduce_sum(tf.one_hot(places, lag), axis=1)
        total = tf.reduce_sum(values * marks, axis=1)
        last = tf.broadcast_to(tf.one_hot(lag - 1, lag), tf.shape(values))
        return {
            "x": tf.stack([values, marks], axis=-1),
            "y": (last * total[:, None])[..., None],
            "sample_weight": last,
        }


Problem = Copying | Adding


def batches(
    problem: Problem, lags: Sequence[int], batch_size: int, seed: int, stream: int, step: int, shard: Shard = WHOLE
) -> tf.data.Dataset:
    """Returns the endless batches of a stream from a step on; a batch depends on nothing but seed, stream and step."""
    return endless(_batch(problem, lags, batch_size, seed, stream, shard), step)


def one_batch_per_lag(
    problem: Problem, lags: Sequence[int], batch_size: int, seed: int, stream: int
) -> tf.data.Dataset:
    """Returns a finite dataset with a batch of each lag."""
    return by_step(_batch(problem, lags, batch_size, seed, stream, WHOLE), 0, len(lags))


def _batch(problem, lags, batch_size, seed, stream, shard) -> Callable[[tf.Tensor], Batch]:
    check_order(seed, 0)
    rows, table = shard.rows(batch_size), tf.constant(lags, tf.int32)
    width = max(max(lags) + 2, getattr(problem, "copied", 0))

    def batch(step):
        numbers = tf.random.stateless_uniform(
            [batch_size, width], tf.stack([tf.cast(3 * seed + stream, tf.int64), step])
        )
        lag = table[step % len(lags)]
        found = problem.batch(tf.gather(numbers, rows), lag)
        return {"id": step * batch_size + rows, **found}

    return batch

"""Examples in memory, taken by index, as tf.data sets whose order is a pure function of (seed, step)."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.order import captured, check_order, check_positive, endless, key, shuffled
from ikelos.pipelines.recipe.sections import Training
from ikelos.pipelines.training.stage import Feed


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of one split.

    Attributes:
        ids: Name of each.
        features: By name, each an array `[N,...]` of numbers.
    """

    ids: Sequence[str]
    features: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        """N."""
        return len(self.ids)

    def sha256(self) -> str:
        """Of the ids and all features."""
        parts = [json.dumps(list(self.ids)).encode()]
        for name, values in self.features.items():
            parts += [json.dumps([name, str(values.dtype), values.shape]).encode(), values.tobytes()]
        return fingerprint.sha256(parts)


Batch = dict[str, tf.Tensor]


def batches(examples: Examples, batch_size: int, seed: int, start_step: int) -> tf.data.Dataset:
    """Endless batches, each example once an epoch, in an order permuted anew each epoch.

    Args:
        examples: What to draw from.
        batch_size: B.
        seed: Any int32; other seeds give other orders.
        start_step: The step of the first batch; the batch of a step is the same whatever the start.

    Returns:
        Elements `{"id": int64 [B], "draw": int64 [B], ...}` with the features: `id` is the place among the examples,
        `draw` counts the examples since step 0 (the key for what is random in an example).

    Raises:
        UserError: If a number is out of range.
    """
    check_positive(batch_size=batch_size)
    check_order(seed, start_step)
    count = len(examples)
    take = _taking(examples)

    def batch(step):
        draw = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        return take(shuffled(draw % count, key(seed, draw // count, stream=0), count), draw)

    return endless(batch, start_step)


def in_order(examples: Examples, batch_size: int) -> tf.data.Dataset:
    """Finite batches of every example once, as `batches`, with `draw` as `id`; the last one may have fewer."""
    check_positive(batch_size=batch_size)
    count = len(examples)
    take = _taking(examples)

    def batch(step):
        index = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, count))
        return take(index, index)

    return tf.data.Dataset.range(-(-count // batch_size)).map(batch).prefetch(2)


def feed(splits: Mapping[Split, Examples], training: Training, prepare: Callable[[Batch], Batch] = dict) -> Feed:
    """A stage's feed of the examples as they are.

    Args:
        splits: `train` and `validation` are used.
        training: Batch size and seed.
        prepare: In the graph, from a batch as of `batches` to an element of a `Feed`; by default the features are `x`
            and so on already.
    """
    return Feed(
        train=lambda step: batches(splits["train"], training.batch_size, training.seed, step).map(prepare),
        validation=in_order(splits["validation"], training.batch_size).map(prepare),
        units_per_step=training.batch_size,
        units=len(splits["train"]),
    )


def _taking(examples):
    features = {name: captured(values, values.dtype) for name, values in examples.features.items()}

    def take(index, draw):
        return {"id": index, "draw": draw} | {name: tf.gather(values, index) for name, values in features.items()}

    return take

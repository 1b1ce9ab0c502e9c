"""What a task hands over to be trained: models, their losses and their data."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import examples
from ikelos.pipelines.data.examples import Batch
from ikelos.pipelines.data.order import Shard
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Training
from ikelos.pipelines.training.history import Record

Models = Mapping[str, keras.Model]
"""Trained models by the names of their stages."""

Samples = list[str] | np.ndarray
"""What a person looks at after an epoch: texts, or one picture, uint8 `[H,W,C]` with 1 or 3 channels."""


@dataclasses.dataclass(frozen=True)
class Feed:
    """What a stage trains on.

    Data set elements are dicts of a batch: `"id"` int64 `[B]`, `"x"`, and where the model takes them `"y"` and
    `"sample_weight"` (0 on padding).

    Attributes:
        train: From a step and a shard to the shard's rows of the batches of that step and all later ones, which must
            depend on nothing but these, so that a resumed run reads what an unbroken one would have read.
        validation: Finite, in a fixed order.
        units_per_step: How many of the stage's units an average step takes.
        units: How many there are in the training data.
        samples: From the model with its averaged weights to what a person looks at after each epoch.
        initialize: Sets the weights of a new model that start from data. A run that begins with another run's weights
            overwrites them.
        adapt: Sets the weights that are computed from data and not trained, whatever the run begins with.
    """

    train: Callable[[int, Shard], tf.data.Dataset]
    validation: tf.data.Dataset
    units_per_step: int
    units: int
    samples: Callable[[keras.Model], Samples] | None = None
    initialize: Callable[[Any], None] | None = None
    adapt: Callable[[Any], None] | None = None


@dataclasses.dataclass(frozen=True)
class Stage:
    """One named training of one model. Nothing in it holds data, so that a trained model is restored without.

    Attributes:
        name: Names the stage's folder and its lines in the terminal.
        training: How it is trained.
        build: From the models of the stages before to this one's: built, not compiled, the same in every process. If
            an optimizer of it rests in some steps, the model counts all steps in an integer variable `step`.
        feed: From the data and the models of the stages before to what is trained on.
        unit: What the data is counted in, in the plural: `tokens`, `images`.
        metric: What validation is decided by: `loss`, or a metric of the model's own by its name in Keras's logs.
            Its unit is for people: `nats per token`.
        loss: Given to `compile`; its `reduction` must be `mean_with_sample_weight`: Keras's default divides by all
            places of a batch, padding included. None leaves it to the model's own `compute_loss`.
        trouble: From an epoch's record to what is wrong with the training and what to do about it; None if nothing is.
        trouble_patience: Epochs of trouble in a row that end the training with these words; 0 for never.

    Raises:
        ValueError: If the loss is reduced otherwise.
    """

    name: str
    training: Training
    build: Callable[[Models], keras.Model]
    feed: Callable[[Splits, Models], Feed]
    unit: str
    metric: Metric
    loss: keras.losses.Loss | None = None
    trouble: Callable[[Record], str | None] | None = None
    trouble_patience: int = 0

    def __post_init__(self):
        """Refuses a loss that would count padding."""
        if self.loss is not None and self.loss.reduction != "mean_with_sample_weight":
            raise ValueError(
                f"`loss` must have reduction='mean_with_sample_weight'. Received: reduction={self.loss.reduction!r}"
            )


def feed(
    splits: Splits,
    training: Training,
    prepare: Callable[[Batch], Batch] = dict,
    validation_batch_size: int | None = None,
    samples: Callable[[Any], Samples] | None = None,
) -> Feed:
    """A feed of the examples as they are.

    Args:
        splits: `train` and `validation` are used.
        training: Batch size and seed.
        prepare: In the graph, from a batch as of `examples.batches` to an element of a `Feed`; by default the columns
            are `x` and so on already.
        validation_batch_size: By default that of the training.
        samples: As of `Feed`.
    """
    size, seed = training.batch_size, training.seed
    return Feed(
        train=lambda step, shard: examples.batches(splits["train"], size, seed, step, shard).map(prepare),
        validation=examples.in_order(splits["validation"], validation_batch_size or size).map(prepare),
        units_per_step=size,
        units=len(splits["train"]),
        samples=samples,
    )


def keras_batches(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A feed's batches as Keras trains on them: `x`, `(x, y)` or `(x, y, sample_weight)`."""
    return dataset.map(
        lambda batch: keras.utils.pack_x_y_sample_weight(batch["x"], batch.get("y"), batch.get("sample_weight"))
    )

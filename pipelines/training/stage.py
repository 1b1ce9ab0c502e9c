"""The definition of a training stage: its model, loss and data."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import examples
from ikelos.pipelines.data.examples import Batch
from ikelos.pipelines.data.order import Shard, mapped
from ikelos.pipelines.data.store import Splits
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Training
from ikelos.pipelines.training.history import Record

Models = Mapping[str, keras.Model]
"""Trained models by the names of their stages."""

Samples = list[str] | np.ndarray
"""Samples to look at after an epoch: texts, or one picture, uint8 `[H,W,C]` with 1 or 3 channels."""


@dataclasses.dataclass(frozen=True)
class Feed:
    """The data of a stage.

    Elements of the data sets are batches, as dicts with `"id"` int64 `[B]`, `"x"`, and if the model uses them `"y"` and
    `"sample_weight"` (0 on padding).

    Attributes:
        train: Function from a step and a shard to the training batches from that step on, restricted to the shard's
            rows. They must depend on nothing else, so that a resumed run reads the batches of an uninterrupted one.
        validation: Validation batches, finite and in a fixed order.
        units_per_step: Mean number of the stage's units in a training step.
        units: Number of units in the training data.
        samples: Function from the model with its averaged weights to the samples that are recorded after each epoch.
        initialize: Function that sets those weights of a new model whose initial values are computed from data. In a
            run that begins with another one, the weights of the other run overwrite them.
        adapt: Function that sets the weights that are computed from data and not trained, also in a run that begins
            with another one.
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
    """The training of one model. It holds no data, so that a trained model can be restored without data.

    Attributes:
        name: Name of the stage, of its folder and in its terminal output.
        training: The training settings.
        build: Function from the models of the previous stages to this stage's model, which must be built, not compiled,
            and the same in every process. If an optimizer skips some steps, the model must count all steps in an
            integer variable `step`.
        feed: Function from the data and the models of the previous stages to this stage's feed.
        unit: Unit in which the data is counted, a plural such as `tokens` or `images`.
        metric: Validation metric, which decides early stopping: `loss`, or a metric of the model by its name in Keras's
            logs. Its `unit` is display text, such as `nats per token`.
        loss: Loss for `compile`; its `reduction` must be `mean_with_sample_weight`, because Keras's default divides by
            all positions of a batch, padding included. None for the model's own `compute_loss`.
        trouble: Function from an epoch's record to a text that describes the trouble and its remedy; None if there is
            no trouble.
        trouble_patience: Consecutive epochs of trouble after which training ends with that text; 0 for never.

    Raises:
        ValueError: If the loss has another reduction.
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
        """Checks that the loss ignores padding."""
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
    """Returns a feed in which each example of the splits is one row of a batch.

    Args:
        splits: The data, of which `train` and `validation` are used.
        training: Training settings with the batch size and the seed.
        prepare: Function, run in the graph, from a batch of `examples.batches` to an element of a `Feed`. By default a
            batch is not changed, so the columns of the splits must have the names of a feed's elements, such as `x`.
        validation_batch_size: Batch size of the validation; by default the batch size of the training.
        samples: Function from the model with its averaged weights to the samples that are recorded after each epoch;
            None for no samples.
    """
    size, seed = training.batch_size, training.seed
    return Feed(
        train=lambda step, shard: mapped(examples.batches(splits["train"], size, seed, step, shard), prepare),
        validation=mapped(examples.in_order(splits["validation"], validation_batch_size or size), prepare),
        units_per_step=size,
        units=len(splits["train"]),
        samples=samples,
    )


def keras_batches(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a feed's batches in Keras's form: `x`, `(x, y)` or `(x, y, sample_weight)`."""
    return mapped(
        dataset,
        lambda batch: keras.utils.pack_x_y_sample_weight(batch["x"], batch.get("y"), batch.get("sample_weight")),
    )

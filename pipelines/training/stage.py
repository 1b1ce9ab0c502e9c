"""What a task hands over to be trained: a model, its loss and its data."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

Samples = list[str] | np.ndarray
"""What a person looks at after an epoch: texts, or one picture, uint8 `[H,W,C]` with 1 or 3 channels."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One named training of one model.

    Data set elements are dicts of a batch: `"id"` int64 `[B]`, `"x"`, `"y"`, and `"sample_weight"` (0 on
    padding).

    Attributes:
        name: Names the stage's folder and its lines in the terminal.
        build: Makes the model: built, not compiled, the same in every process.
        loss: Given to `compile`; its `reduction` must be `mean_with_sample_weight`: Keras's default divides by all
            places of a batch, padding included. None leaves it to the model's own `compute_loss`.
        train: From a step to the batches of that step and all later ones, which must depend on nothing but the step,
            so that a resumed run reads what an unbroken one would have read.
        validation: Finite, in a fixed order.
        unit: What the data is counted in, in the plural: `tokens`, `images`.
        units_per_step: How many of them an average step takes, for the throughput.
        samples: From the model with its averaged weights to what a person looks at after each epoch, or None.

    Raises:
        ValueError: If the loss is reduced otherwise.
    """

    name: str
    build: Callable[[], keras.Model]
    loss: keras.losses.Loss | None
    train: Callable[[int], tf.data.Dataset]
    validation: tf.data.Dataset
    unit: str
    units_per_step: int
    samples: Callable[[keras.Model], Samples] | None

    def __post_init__(self):
        """Refuses a loss that would count padding."""
        if self.loss is not None and self.loss.reduction != "mean_with_sample_weight":
            raise ValueError(
                f"`loss` must have reduction='mean_with_sample_weight'. Received: reduction={self.loss.reduction!r}"
            )


def triples(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turns a stage's dicts into the `(x, y, sample_weight)` that Keras trains on."""
    return dataset.map(lambda batch: (batch["x"], batch["y"], batch["sample_weight"]))

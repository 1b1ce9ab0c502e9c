"""The training of networks on generated sequences."""

from collections.abc import Callable, Sequence

import keras

from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Training
from ikelos.pipelines.sequences.problems import TRAIN, VALIDATION, Problem, batches, one_batch_per_lag
from ikelos.pipelines.training.stage import Feed, Stage


def stage(
    name: str,
    problem: Problem,
    training: Training,
    build: Callable[[], keras.Model],
    lags: Sequence[int],
    validation_examples: int,
) -> Stage:
    """Returns the stage in which a network learns a problem.

    Args:
        name: Name of the stage.
        problem: The problem.
        training: The training settings.
        build: Function that returns the network, built.
        lags: Lags of the batches, which take turns.
        validation_examples: Validation examples for each lag.
    """
    size, seed = training.batch_size, training.seed
    return Stage(
        name=name,
        training=training,
        build=lambda _: build(),
        feed=lambda *_: Feed(
            train=lambda step, shard: batches(problem, lags, size, seed, TRAIN, step, shard),
            validation=one_batch_per_lag(problem, lags, validation_examples, seed, VALIDATION),
            units_per_step=size,
            units=size * training.steps,  # no sequence is seen twice
        ),
        unit="sequences",
        metric=Metric("loss", problem.unit),
        loss=problem.loss(),
    )

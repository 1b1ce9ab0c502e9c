import numpy as np
import pytest

from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.recipe.sections import PlainTraining
from ikelos.pipelines.sequences import stages
from ikelos.pipelines.sequences.problems import TRAIN, VALIDATION, Adding, Copying, batches, one_batch_per_lag

TRAINING = PlainTraining.model_construct(steps=10, batch_size=4, seed=3)


@pytest.mark.parametrize(("problem", "unit"), [(Copying(5, 2), "nats per symbol"), (Adding(0.1), "squared error")])
def test_a_stage_trains_and_validates_on_different_sequences_of_a_problem(problem, unit):
    stage = stages.stage("name", problem, TRAINING, lambda: "network", [3, 5], validation_examples=7)
    assert (stage.name, stage.unit, stage.metric.unit) == ("name", "sequences", unit)
    assert stage.build({}) == "network"
    feed = stage.feed({}, {})
    assert (feed.units_per_step, feed.units) == (4, 40)
    for found, expected in (
        (feed.train(2, WHOLE).take(3), batches(problem, [3, 5], 4, 3, TRAIN, 2)),
        (feed.validation, one_batch_per_lag(problem, [3, 5], 7, 3, VALIDATION)),
    ):
        for ours, theirs in zip(found, expected, strict=False):
            np.testing.assert_array_equal(ours["x"], theirs["x"])

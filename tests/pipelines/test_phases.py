"""The phases in folders that know nothing of each other, as a scheduler's nodes have them."""

import json

import keras
import numpy as np
import pytest

from ikelos.pipelines import phases
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.task import Finished
from ikelos.pipelines.training import history
from ikelos.serving import StockModel


class Rounded(Preprocessing):
    """A mean, of which the file keeps two digits."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def save(self, folder):
        (folder / "mean").write_text(f"{self.mean:.2f}")


@pytest.fixture
def points(toy):
    short = ["judge.steps=2", "judge.steps_per_epoch=2", "maker.steps=2", "maker.steps_per_epoch=2"]
    task = tasks.of_recipe(recipes.load(toy.parent / "points.yaml", short))
    task.fit = lambda splits: Rounded(float(splits["train"].features["x"].mean()))
    task.load = lambda folder: Rounded(float((folder / "mean").read_text()))
    return task


def test_each_phase_needs_what_it_is_given_and_nothing_else(points, tmp_path):
    learned = tmp_path / "node 1"
    learned.mkdir()
    splits = points.read()
    preprocessing = phases.prepare(points, splits, learned)
    # What goes on is what was written, or a run that is continued would have another.
    assert preprocessing.mean == round(float(splits["train"].features["x"].mean()), 2)
    phases.check(splits, learned)
    with pytest.raises(UserError, match=r"the split 'test' \(data.source\) has changed since the run began"):
        phases.check({**splits, "test": splits["train"]}, learned)

    def stage(name):
        return tmp_path / f"node of {name}"

    data = points.encode(preprocessing, splits)
    models = phases.train(points, preprocessing, data, stage)
    assert list(models) == ["judge", "maker"]
    results = phases.evaluate(points, preprocessing, data, models)
    weights = {id(weight): weight for model in models.values() for weight in model.weights}
    assert results["parameters"] == sum(int(np.prod(weight.shape)) for weight in weights.values())
    histories = {name: history.read(stage(name) / "history.jsonl") for name in models}
    written = phases.report(points, Finished(preprocessing, data, models, results, histories), tmp_path / "node 3")
    assert json.loads(written["Report's numbers"].read_text())["facts"]["model"] == results["model"]

    def no_data():
        raise AssertionError("data was read")

    points.read = no_data
    preprocessing, restored = phases.restore(points, learned, stage)
    for name, model in models.items():
        for weight, again in zip(model.weights, restored[name].weights, strict=True):
            np.testing.assert_array_equal(weight.numpy(), again.numpy())
    version = phases.export(points, preprocessing, restored, tmp_path / "node 4", {"made": "here"})
    with StockModel(version) as served:
        assert served.run("serving_default", {"point": [[0.0, 1.0]]})["scores"].shape == (1, 2)


def test_parameters_that_stages_share_count_once():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    outer = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1)])
    assert phases._parameters({"inner": inner, "outer": outer}) == 9 + 4

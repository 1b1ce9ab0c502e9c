"""Tests of the phases in unrelated folders, as on the nodes of a scheduler."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines import console, phases
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.arrays import Arrays
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.pipelines.task import Finished
from ikelos.pipelines.training import history
from ikelos.serving import Card, StockModel


class Rounded(Preprocessing):
    """Preprocessing with a mean, of which the file keeps two digits."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def save(self, folder):
        (folder / "mean").write_text(f"{self.mean:.2f}")


class Points(Arrays):
    """The toy task's data, with a mean that is fitted to the training split."""

    def __init__(self, splits):
        super().__init__("points", splits)
        self.splits = splits

    def learn(self, progress):
        return Rounded(float(self.splits["train"]["x"].mean()))

    def load(self, folder):
        return Rounded(float((folder / "mean").read_text()))


@pytest.fixture
def points(toy):
    """Returns the toy task with a few steps; its data `splits` may be changed."""
    short = ["judge.steps=2", "judge.steps_per_epoch=2", "maker.steps=2", "maker.steps_per_epoch=2"]
    task = tasks.of_recipe(recipes.load(toy.parent / "points.yaml", short))
    task.splits = {split: dict(columns) for split, columns in task.preparation()._splits.items()}
    task.preparation = lambda: Points(task.splits)
    return task


@pytest.fixture
def shown(monkeypatch):
    """Collects the last text of each progress display, nested ones included."""
    ended = []
    remove = console._display.remove

    def end(progress):
        ended.append(f"{progress.name}: {progress.text()}")
        remove(progress)

    monkeypatch.setattr(console._display, "remove", end)
    return ended


def test_each_phase_needs_what_it_is_given_and_nothing_else(points, tmp_path, shown):
    learned = tmp_path / "node 1"
    splits = phases.prepare(points, learned)
    np.testing.assert_array_equal(splits["test"].array("x"), points.splits["test"]["x"])
    preprocessing = phases.load(points, learned)
    # The preprocessing is that of the file. Otherwise a continued run would have different values.
    assert preprocessing.mean == round(float(points.splits["train"]["x"].mean()), 2)
    again = phases.read(points, learned)
    assert [split.sha256() for split in again.values()] == [split.sha256() for split in splits.values()]

    def stage(name):
        return tmp_path / f"node of {name}"

    models = phases.train(points, preprocessing, splits, stage)
    assert list(models) == ["judge", "maker"]
    results = phases.evaluate(points, preprocessing, splits, models)
    assert results["data"] == {name: split.facts() for name, split in splits.items()}
    weights = {id(weight): weight for model in models.values() for weight in model.weights}
    assert results["parameters"] == sum(
        int(np.prod(weight.shape)) for weight in weights.values() if "float" in weight.dtype
    )
    histories = {name: history.read(stage(name) / "history.jsonl") for name in models}
    folders = {name: stage(name) for name in models}
    finished = Finished(preprocessing, splits, models, results, histories, folders)
    written = phases.report(points, finished, tmp_path / "node 3")
    assert json.loads(written["Report's numbers"].read_text())["facts"]["model"] == results["model"]

    points.splits["test"] = points.splits["train"]
    with pytest.raises(UserError, match=r"the split 'test' \(data.source\) has changed since the run began"):
        phases.read(points, learned)

    points.splits = None  # from here on no data is read
    shutil.rmtree(preparation.cache())
    preprocessing, restored = phases.restore(points, learned, stage)
    for name, model in models.items():
        for weight, again in zip(model.weights, restored[name].weights, strict=True):
            np.testing.assert_array_equal(weight.numpy(), again.numpy())
    version = phases.export(points, preprocessing, restored, tmp_path / "node 4", Card(task="Heaps"))
    with StockModel(version) as served:
        assert served.run("serving_default", {"point": [[0.0, 1.0]]})["scores"].shape == (1, 2)

    names = [line.partition(":")[0] for line in shown]
    prepared = ["fitting the preprocessing", "preparing train", "preparing validation", "preparing test", "data"]
    # Changed data is prepared again before it is refused.
    assert names == [*prepared, "data", "judge", "maker", "evaluation", "report", *prepared, "export"]
    judge, export = (shown[names.index(name)] for name in ("judge", "export"))
    assert re.fullmatch(r"judge: 2 of 2 steps, .*validation \d\.\d{4}.*, finishing", judge)
    assert re.fullmatch(r"export: 3 of 4 steps, stock check, .* left", export)


def test_the_served_weights_are_measured_beside_those_of_float32(points, monkeypatch):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, kernel_initializer=lambda *_, **__: [[1.001], [3]])]
    )

    def evaluate(_, __, models):
        return {"accuracy": float(models["judge"].get_weights()[0][0, 0])}

    monkeypatch.setattr(points, "evaluate", evaluate)
    monkeypatch.setattr(points, "baselines", lambda *_: {})
    results = phases.evaluate(points, None, {}, {"judge": model})
    assert results["model"]["accuracy"] == np.float32(1.001)
    assert "float32_model" not in results
    export = points.config.export.model_copy(update={"weights": "bfloat16"})
    points.config = points.config.model_copy(update={"export": export})
    results = phases.evaluate(points, None, {}, {"judge": model})
    assert results["model"]["accuracy"] == 1  # the nearest number of 8 bits
    assert results["float32_model"]["accuracy"] == np.float32(1.001)
    assert points.about_weights(results) == ["weights stored as bfloat16: 1, as float32: 1.001"]


def test_data_is_described(points, monkeypatch):
    monkeypatch.setattr(phases, "_TIMED_BATCHES", 2)
    found = phases.describe(points)
    assert found.folder.parent == preparation.cache() / "data"
    assert {name: split["examples"] for name, split in found.splits.items()} == dict.fromkeys(points.splits, 64)
    assert (found.texts, found.picture) == ([], None)
    assert 0 < found.batch_seconds < 10


def test_texts_and_images_are_shown(shrunk, monkeypatch):
    monkeypatch.setattr(phases, "_TIMED_BATCHES", 1)
    texts = phases.describe(tasks.of_recipe(shrunk("language_modeling")))
    assert texts.texts[0].startswith("the cat sat on the mat. ")
    assert texts.splits["test"]["lengths"] == {"tokens": {"min": 26, "median": 26.0, "max": 26, "sum": 26}}
    images = phases.describe(tasks.of_recipe(shrunk("image_generation_vae")))
    assert images.texts == []
    assert images.picture.parent == images.folder
    assert tf.io.decode_png(images.picture.read_bytes()).shape[2] == 1
    assert images.splits["train"]["classes"] == {"lying": 24, "standing": 24}


def test_a_model_that_is_told_classes_begins_with_no_others(shrunk, tmp_path):
    task = tasks.of_recipe(shrunk("image_generation_vae", "model.conditional=true"))
    phases.prepare(task, tmp_path / "before")
    phases.prepare(task, tmp_path / "same", tmp_path / "before")
    (tmp_path / "before" / "classes.json").write_text('["standing", "lying"]')
    with pytest.raises(
        UserError, match=r"that the model was trained with, standing, lying\. Received: lying, standing$"
    ):
        phases.prepare(task, tmp_path / "other", tmp_path / "before")
    assert not (tmp_path / "other").exists()


def test_parameters_that_stages_share_count_once():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    outer = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1)])
    assert phases._parameters({"inner": inner, "outer": outer}) == 9 + 4

import json
import os
import shutil

import numpy as np
import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import runner
from ikelos.pipelines.data import preparation
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text import documents
from ikelos.serving import StockModel


@pytest.fixture
def points(toy):
    """Loads the recipe of the toy task that can run, shortened; takes overrides."""
    short = ["judge.steps=4", "judge.steps_per_epoch=2", "maker.steps=4", "maker.steps_per_epoch=2"]
    return lambda *overrides: recipes.load(toy.parent / "points.yaml", [*short, *overrides])


def stop(*_):
    raise KeyboardInterrupt


def test_a_run_leaves_a_served_model_a_report_and_figures(points, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    outcome = runner.run(points(), workdir)
    for name in ("Evaluation", "Report", "Report's numbers", "SavedModel"):
        assert os.path.exists(outcome[name])
    figures = json.loads((workdir / "evaluation.json").read_text())
    report = json.loads((workdir / "report" / "report.json").read_text())
    assert report["facts"]["model"] == figures["model"]
    assert outcome["Result"] == f"{figures['model']['accuracy']:.1%} share as asked for on 64 held-out points"
    assert f"{figures['model']['accuracy']:.1%}" in (workdir / "report" / "report.html").read_text()
    with StockModel(workdir / "export" / "1") as model:
        got = model.run("serving_default", {"point": [[0.0, 1.0]]})
    assert np.isfinite(got["scores"]).all()

    # The same command again does nothing, not even with the model; without its report it evaluates again.
    evaluations = []
    with monkeypatch.context() as patch:
        patch.setattr(runner.phases, "train", lambda *_: {})
        patch.setattr(runner, "_evaluate", lambda *_: evaluations.append(1) or figures)
        assert runner.run(points(), workdir) == outcome
        assert evaluations == []
        report_page = outcome["Report"].read_text()
        outcome["Report"].unlink()
        assert runner.run(points(), workdir) == outcome
        assert evaluations == [1]
        outcome["Report"].write_text(report_page)
    # Nor does it need the prepared data, which is prepared once more.
    shutil.rmtree(preparation.cache())
    assert runner.run(points(), workdir) == outcome
    assert preparation.cache().is_dir()
    assert [path.name for path in (workdir / "export").iterdir()] == ["1"]

    # A stage's own settings decide the weights, wherever they stand; when a checkpoint is written does not.
    with pytest.raises(UserError, match=r"maker\.seed is 0 there and 1 here"):
        runner.run(points("maker.seed=1"), workdir)
    # What comes after the training may change.
    changed = points("maker.checkpoint_every=2", "evaluation.peers=[]", "export.enabled=false")
    assert "SavedModel" not in runner.run(changed, workdir)
    assert json.loads((workdir / "report" / "report.json").read_text())["facts"]["peers"] == []


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(UserError, match=r"a recipe must be a YAML file\. Received: .*/recipe\.yaml"):
        runner.evaluate(tmp_path)


def test_an_unfinished_run_is_not_evaluated(points, tmp_path, monkeypatch):
    monkeypatch.setattr(runner.phases, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        runner.run(points(), tmp_path / "run")
    with pytest.raises(UserError, match="is not finished: it is at step 0 of 4"):
        runner.export(tmp_path / "run")


def test_a_death_between_the_recipe_and_its_preprocessing_is_recovered_from(points, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    preparation.prepare(runner.tasks.of_recipe(points()).preparation())
    with monkeypatch.context() as patch:
        patch.setattr(runner.files, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            runner.run(points(), workdir)
    assert {path.name for path in workdir.iterdir()} == {"lock", "recipe.yaml", "preprocessing.unfinished"}
    with pytest.raises(UserError, match="has not begun to train: run its recipe in the same folder"):
        runner.evaluate(workdir)
    (workdir / "preprocessing.unfinished" / "half").write_text("of a file")
    monkeypatch.setattr(runner.phases, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        runner.run(points(), workdir)
    assert {path.name for path in workdir.iterdir()} == {"lock", "recipe.yaml", "preprocessing"}
    assert not (workdir / "preprocessing" / "half").exists()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_that_changed_is_refused(tiny, tmp_path, monkeypatch, split):
    monkeypatch.setattr(runner.phases, "train", stop)
    recipe = tiny()
    with pytest.raises(KeyboardInterrupt):
        runner.run(recipe, tmp_path / "run")
    file = tmp_path / "data" / f"{split}.txt"
    content = file.read_text()
    file.write_text(content.replace("cat", "cot", 1))
    with pytest.raises(UserError, match=rf"split '{split}' .*has changed since the run began.*--workdir"):
        runner.run(recipe, tmp_path / "run")
    # As it was, if later: it is prepared once more, and is the same.
    file.write_text(content)
    with pytest.raises(KeyboardInterrupt):
        runner.run(recipe, tmp_path / "run")


def test_runs_with_the_same_data_read_it_once(tiny, tmp_path, monkeypatch):
    read = []
    original = documents.Reader.documents
    monkeypatch.setattr(
        documents.Reader, "documents", lambda self, split, *start: read.append(split) or original(self, split, *start)
    )
    monkeypatch.setattr(runner.phases, "train", stop)
    path = tiny().source
    for workdir, seed in (("one", 1), ("one", 1), ("two", 2)):
        with pytest.raises(KeyboardInterrupt):
            runner.run(recipes.load(path, [f"training.seed={seed}"]), tmp_path / workdir)
    # First for the vocabulary.
    assert read == ["train", "train", "validation", "test"]

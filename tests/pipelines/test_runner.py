import dataclasses
import json
import os
import shutil
import types

import numpy as np
import pytest

from ikelos.pipelines import origin, runner, trained
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.data import preparation
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.text import documents
from ikelos.serving import StockModel, read_card

SERVING = (
    "{versions: 1, batching: null, cpus: 1, memory_gib: 1, replicas: 1, max_replicas: 1, cpu_percent: 50, "
    "request_mib: 1, timeout_seconds: 10, poll_seconds: 1}"
)


@pytest.fixture
def run(finished, tmp_path):
    """Returns a copy of a finished run of the toy task, which may be changed."""
    return shutil.copytree(finished, tmp_path / "run")


def stop(*_):
    raise KeyboardInterrupt


def begin_to_train(workdir, stage):
    """Makes a run look like one of which a stage has begun to train."""
    checkpoints = Folder(workdir).checkpoints(stage)
    checkpoints.mkdir(parents=True)
    (checkpoints / "step-00000000.npz").touch()


def test_a_run_leaves_a_served_model_a_report_and_figures(points, run, monkeypatch):
    figures = json.loads((run / "evaluation.json").read_text())
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["facts"]["model"] == figures["model"]
    page = (run / "report" / "report.html").read_text()
    assert f"{figures['model']['accuracy']:.1%}" in page
    with StockModel(run / "export" / "1") as model:
        got = model.run("serving_default", {"point": [[0.0, 1.0]]})
    assert np.isfinite(got["scores"]).all()

    # The same command again does nothing. If the report is missing, it evaluates again.
    evaluations = []
    monkeypatch.setattr(runner.phases, "train", lambda *_: {})
    monkeypatch.setattr(runner, "save_models", lambda *_: None)
    monkeypatch.setattr(runner, "measure", lambda *_: evaluations.append(1) or figures)
    outcome = runner.run(points(), run)
    assert outcome["Result"] == f"{figures['model']['accuracy']:.1%} share as asked for on 64 held-out points"
    for name in ("Evaluation", "Report", "Report's numbers", "Keras models", "SavedModel"):
        assert os.path.exists(outcome[name])
    assert evaluations == []
    # It also does nothing after changes of the description or of other keys on which no figure depends.
    changed = points("maker.checkpoint_every=2", f"serving={SERVING}")
    described = dataclasses.replace(changed, description="Of something else.")
    assert runner.run(described, run) == outcome
    assert evaluations == []
    outcome["Report"].unlink()
    assert runner.run(points(), run) == outcome
    assert evaluations == [1]
    outcome["Report"].write_text(page)
    # If the prepared data is deleted, it is prepared again.
    shutil.rmtree(preparation.cache())
    assert runner.run(points(), run) == outcome
    assert preparation.cache().is_dir()
    assert [path.name for path in (run / "export").iterdir()] == ["1"]


def test_what_comes_after_the_training_may_change_and_a_folders_name_be_anything(points, run):
    run = run.rename(run.with_name(os.fsdecode(b"\xff $x_{$ <b>")))
    changed = points("maker.checkpoint_every=2", "evaluation.peers=[]", "export.enabled=false")
    assert "SavedModel" not in runner.run(changed, run)
    assert json.loads((run / "report" / "report.json").read_text())["facts"]["peers"] == []


def test_a_finished_run_is_exported_in_another_format_with_the_metric_before_and_after(points, run):
    before = json.loads((run / "evaluation.json").read_text())["model"]["accuracy"]
    outcome = runner.run(points("export.weights=bfloat16"), run)
    after = json.loads((run / "evaluation.json").read_text())["model"]["accuracy"]
    assert outcome["SavedModel"] == run / "export" / "2"
    assert f"; weights stored as bfloat16: {after:.6g}, as float32: {before:.6g}" in outcome["Result"]
    card = read_card(run / "export" / "2")
    assert card["weights"]["stored_as"] == "bfloat16"
    assert card["metrics"][0]["value"] == after
    assert card["metrics"][0]["others"]["with float32 weights"] == before


def test_other_keys_are_named_with_both_values(points, run):
    before = (run / "recipe.yaml").read_text()
    changes = ["maker.seed=1", "judge.steps=3", "judge.optimizers.model.kind=muon"]
    with pytest.raises(UserError) as caught:
        runner.run(points(*changes), run)
    assert str(caught.value).splitlines() == [
        f"`judge.steps` must be at least 4, as in the run in {run}. Received: judge.steps=3",
        f"`judge.optimizers.model.kind` must be adamw, as in the run in {run}. "
        "Received: judge.optimizers.model.kind=muon",
        f"`maker.seed` must be 0, as in the run in {run}. Received: maker.seed=1",
        "Choose another --workdir, or delete that one.",
    ]
    # A stage must not change after a later stage was trained on its model.
    with pytest.raises(UserError, match=r"`steps` of stage 'judge' must be 4, as stage 'maker' .*Received: steps=5"):
        runner.run(points("judge.steps=5"), run)
    assert (run / "recipe.yaml").read_text() == before


def test_a_finished_run_goes_on_to_more_steps(points, run):
    def weights():
        return trained.load(run).model.get_weights()

    before = weights()
    longer = points("maker.steps=6", "export.enabled=false")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "save_models", stop)
        with pytest.raises(KeyboardInterrupt):
            runner.run(longer, run)
    # The models in the folder were trained for fewer steps and do not count as the run's.
    with pytest.raises(UserError, match="was continued and is not finished"):
        trained.load(run)
    runner.run(longer, run)
    assert any((a != b).any() for a, b in zip(weights(), before, strict=True))
    report = json.loads((run / "report" / "report.json").read_text())
    training = next(section for section in report["sections"] if section["heading"] == "Training: maker")
    assert training["prose"][1].startswith("At step 4 the total was raised from 4 to 6 steps. ")
    assert report["facts"]["training"]["maker"]["steps"] == 6
    with pytest.raises(UserError, match=r"`maker\.steps` must be at least 6, .*\. Received: maker\.steps=4"):
        runner.run(points(), run)


def test_a_run_begins_with_the_weights_of_another(points, finished, tmp_path):
    still = [f"{stage}.learning_rate=1e-12" for stage in ("judge.optimizers.model", "maker.optimizers.generator")]
    still += ["judge.ema_momentum=0", "maker.optimizers.discriminator.learning_rate=1e-12", "export.enabled=false"]
    runner.run(points(f"from={finished}", *still), tmp_path / "run")
    before, after = trained.load(finished), trained.load(tmp_path / "run")
    for name, model in before.models.items():
        for weight, copied in zip(model.weights, after.models[name].weights, strict=True):
            np.testing.assert_allclose(copied, weight, rtol=1e-5, atol=1e-7)
    assert before.model.step.numpy() == after.model.step.numpy() == 2  # the best; counted from 0 again
    assert after.figures["from"] == {"run": str(finished), "checkpoints": before.checkpoints}
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    training = next(section for section in report["sections"] if section["heading"] == "Training: judge")
    sha256 = before.checkpoints["judge"]["sha256"][:16]
    assert training["prose"][1] == (
        f"Training began with the weights of the run {finished}, whose checkpoint's SHA-256 begins with {sha256}."
    )


def test_a_run_to_begin_with_must_be_finished_and_alike(points, finished, tmp_path, monkeypatch):
    with pytest.raises(
        UserError,
        match=rf"^`from` must be the folder of a run\. Received: from={tmp_path}/none, which is not a folder$",
    ):
        runner.run(points(f"from={tmp_path}/none"), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]
    monkeypatch.setattr(trained, "load", lambda *_: types.SimpleNamespace(recipe=points()))
    with pytest.raises(UserError, match=r"^`from` must be a run of the task greeting\. Received: from=a, .* points$"):
        origin.find(recipes.load("toy", ["from=a"]))
    recurrent = recipes.load("toy", ["training.steps=3"])
    monkeypatch.setattr(trained, "load", lambda *_: types.SimpleNamespace(recipe=recurrent))
    with pytest.raises(
        UserError,
        match=r"^`from` must be a run of the same architecture: model\.units is 8 there and 9 "
        r"here\. Received: from=a$",
    ):
        origin.find(recipes.load("toy", ["from=a", "model.units=9"]))
    assert origin.find(recipes.load("toy", ["from=a", "training.steps=5"])).recipe is recurrent


def test_the_run_to_begin_with_may_lie_in_the_home_folder(points, finished, monkeypatch):
    monkeypatch.setenv("HOME", str(finished.parent))
    assert origin.find(points("from=~/run")).folder.path == finished


def test_an_evaluation_afterwards_leaves_a_file_of_figures_and_nothing_else(points, run):
    def contents():
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}

    before = contents()
    outcome = runner.evaluate(run, ["evaluation.peers=[]"])
    added = contents().keys() - before.keys()
    assert added == {outcome["Evaluation"]}
    assert outcome["Evaluation"].parent == run / "evaluations"
    assert {path: content for path, content in contents().items() if path not in added} == before
    figures = json.loads(outcome["Evaluation"].read_text())
    assert figures["model"] == json.loads((run / "evaluation.json").read_text())["model"]
    assert figures["recipe"]["evaluation"]["peers"] == []
    with pytest.raises(UserError, match=r"^`maker\.steps` must be 4, as in .*\. Received: maker\.steps=9$"):
        runner.evaluate(run, ["maker.steps=9"])


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
    begin_to_train(tmp_path / "run", "language_model")
    file = tmp_path / "data" / f"{split}.txt"
    content = file.read_text()
    file.write_text(content.replace("cat", "cot", 1))
    with pytest.raises(UserError, match=rf"split '{split}' .*has changed since the run began.*--workdir"):
        runner.run(recipe, tmp_path / "run")
    # The same content with later times: the data is prepared again and is equal.
    file.write_text(content)
    with pytest.raises(KeyboardInterrupt):
        runner.run(recipe, tmp_path / "run")


def test_before_the_training_begins_recipe_and_data_may_change(tiny, tmp_path, monkeypatch):
    """As after a run that was refused for its data: nothing was trained on it."""
    monkeypatch.setattr(runner.phases, "train", stop)
    recipe, workdir, file = tiny(), tmp_path / "run", tmp_path / "data" / "train.txt"
    with pytest.raises(KeyboardInterrupt):
        runner.run(recipe, workdir)
    before = (workdir / "preprocessing" / "splits.json").read_text()
    file.write_text(file.read_text().replace("cat", "cot", 1))
    changed = recipes.load(recipe.source, ["training.seed=7"])
    with pytest.raises(KeyboardInterrupt):
        runner.run(changed, workdir)
    assert (workdir / "preprocessing" / "splits.json").read_text() != before
    assert recipes.load(workdir / "recipe.yaml").config.training.seed == 7
    begin_to_train(workdir, "language_model")
    with pytest.raises(UserError, match=r"^`training\.seed` must be 7, as in the run in "):
        runner.run(recipes.load(recipe.source, ["training.seed=8"]), workdir)


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
    # The first calls are for the example and the vocabulary.
    assert read == ["validation", "train", "train", "validation", "test"]

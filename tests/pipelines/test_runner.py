import json
import os
import shutil

import numpy as np
import pytest

from ikelos.pipelines import cli, runner
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text import documents
from ikelos.serving import StockModel


def test_a_run_leaves_a_served_model_a_report_and_figures(tiny, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    outcome = runner.run(tiny(), workdir)
    for name in ("Evaluation", "Report", "Report's numbers", "SavedModel"):
        assert os.path.exists(outcome[name])
    figures = json.loads((workdir / "evaluation.json").read_text())
    report = json.loads((workdir / "report" / "report.json").read_text())
    assert report["facts"]["model"] == figures["model"]
    assert report["facts"]["training"]["language_model"]["tokens"] == 12 * 8 * 16
    page = (workdir / "report" / "report.html").read_text()
    assert f"{figures['model']['nats_per_character']:.3f}" in page
    with StockModel(workdir / "export" / "1") as model:
        got = model.run("serving_default", {"text": ["the cat"]})
    assert np.isfinite(got["log_likelihood"]).all()

    model, (ngram,) = figures["model"], figures["baselines"].values()
    assert outcome["Result"] == (
        f"{model['nats_per_character']:.3f} nats per character, {model['bits_per_character']:.3f} bits per character "
        f"on 25 held-out characters; Interpolated Kneser-Ney {ngram['order']}-gram: {ngram['nats_per_character']:.3f}"
    )

    # The same command again does nothing, not even with the model; without its report it evaluates again.
    evaluations = []
    with monkeypatch.context() as patch:
        patch.setattr(runner.phases, "train", lambda *_: {})
        patch.setattr(runner, "_evaluate", lambda *_: evaluations.append(1) or figures)
        assert runner.run(tiny(), workdir) == outcome
        assert evaluations == []
        report_page = outcome["Report"].read_text()
        outcome["Report"].unlink()
        assert runner.run(tiny(), workdir) == outcome
        assert evaluations == [1]
        outcome["Report"].write_text(report_page)
    assert [path.name for path in (workdir / "export").iterdir()] == ["1"]

    with pytest.raises(UserError, match=r"training\.seed is 0 there and 1 here"):
        runner.run(tiny("training.seed=1"), workdir)
    # What comes after the training may change.
    runner.run(tiny("evaluation.ngram_order=2", "export.enabled=false"), workdir)
    (baseline,) = json.loads((workdir / "evaluation.json").read_text())["baselines"]
    assert baseline == "Interpolated Kneser-Ney 2-gram"


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(UserError, match=r"no such recipe file: .*/recipe\.yaml"):
        runner.evaluate(tmp_path)


def test_an_unfinished_run_is_not_evaluated(tiny, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner.phases, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        runner.run(tiny(), tmp_path / "run")
    with pytest.raises(UserError, match="is not finished"):
        runner.export(tmp_path / "run")


def test_a_death_between_the_recipe_and_its_preprocessing_is_recovered_from(tiny, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    workdir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(runner.files, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            runner.run(tiny(), workdir)
    assert {path.name for path in workdir.iterdir()} == {"lock", "recipe.yaml", "preprocessing.unfinished"}
    (workdir / "preprocessing.unfinished" / "half").write_text("of a file")
    monkeypatch.setattr(runner.phases, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        runner.run(tiny(), workdir)
    assert {path.name for path in workdir.iterdir()} == {"lock", "recipe.yaml", "preprocessing"}
    assert not (workdir / "preprocessing" / "half").exists()


def test_export_and_prediction_need_no_data(tiny, tmp_path, capsys):
    workdir = tmp_path / "run"
    runner.run(tiny("export.enabled=false"), workdir)
    shutil.rmtree(tmp_path / "data")
    assert runner.export(workdir) == {"SavedModel": workdir / "export" / "1"}
    capsys.readouterr()
    assert cli.main(["predict", str(workdir), "--input", "text=the cat", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["log_likelihood"][0] < 0
    with pytest.raises(UserError, match="no file matches"):
        runner.evaluate(workdir)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_changed_data_is_refused(tiny, tmp_path, monkeypatch, split):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner.phases, "train", stop)
    recipe = tiny()
    with pytest.raises(KeyboardInterrupt):
        runner.run(recipe, tmp_path / "run")
    file = tmp_path / "data" / f"{split}.txt"
    file.write_text(file.read_text().replace("cat", "cot", 1))
    with pytest.raises(UserError, match=rf"split '{split}' .* run in {tmp_path / 'run'} .*--workdir"):
        runner.run(recipe, tmp_path / "run")


def test_each_split_is_read_once(tiny, tmp_path, monkeypatch):
    read = []
    original = documents.documents
    monkeypatch.setattr(documents, "documents", lambda source, split: read.append(split) or original(source, split))
    runner.run(tiny("training.steps=1", "export.enabled=false"), tmp_path / "run")
    assert read == ["train", "validation", "test"]

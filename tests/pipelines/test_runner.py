import json
import os

import numpy as np
import pytest

from ikelos.pipelines import runner
from ikelos.pipelines.errors import UserError
from ikelos.serving import StockModel


def test_a_run_leaves_a_served_model_a_report_and_figures(tiny, tmp_path):
    workdir = tmp_path / "run"
    outcome = runner.run(tiny(), workdir)
    for path in outcome.values():
        assert str(path).startswith("tensorboard") or os.path.exists(path)
    figures = json.loads((workdir / "evaluation.json").read_text())
    report = json.loads((workdir / "report" / "report.json").read_text())
    assert report["facts"]["model"] == figures["model"]
    assert report["facts"]["training"]["tokens"] == 12 * 8 * 16
    page = (workdir / "report" / "report.html").read_text()
    assert f"{figures['model']['nats_per_character']:.3f}" in page
    with StockModel(workdir / "export" / "1") as model:
        got = model.run("serving_default", {"text": ["the cat"]})
    assert np.isfinite(got["log_likelihood"]).all()

    # The same command again trains nothing; evaluation gives the same figures, and export the next version.
    history = (workdir / "stages" / "language_model" / "history.jsonl").read_text()
    runner.evaluate(workdir)
    assert json.loads((workdir / "evaluation.json").read_text())["model"] == figures["model"]
    assert runner.export(workdir)["SavedModel"] == workdir / "export" / "2"
    assert (workdir / "stages" / "language_model" / "history.jsonl").read_text() == history

    with pytest.raises(UserError, match=r"training\.seed is 0 there and 1 here"):
        runner.run(tiny("training.seed=1"), workdir)
    # What comes after the training may change.
    runner.run(tiny("evaluation.ngram_order=2", "export.enabled=false"), workdir)
    (baseline,) = json.loads((workdir / "evaluation.json").read_text())["baselines"]
    assert baseline == "Interpolated Kneser-Ney 2-gram"


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        runner.evaluate(tmp_path)


def test_an_unfinished_run_is_not_evaluated(tiny, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_fit", stop)
    with pytest.raises(KeyboardInterrupt):
        runner.run(tiny(), tmp_path / "run")
    with pytest.raises(UserError, match="is not finished"):
        runner.export(tmp_path / "run")

import json
import shutil

import numpy as np
import pytest

from ikelos import pipelines
from ikelos.pipelines import comparison, phases, preprocessing
from ikelos.pipelines.errors import UserError


def test_a_run_comes_back_with_the_weights_that_were_evaluated(toy, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    run = pipelines.load(str(finished))
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    assert list(run.models) == ["judge", "maker"]
    assert run.model is run.models["maker"]
    assert isinstance(run.preprocessing, preprocessing.Preprocessing)
    assert run.recipe.config.judge.steps == 4
    assert run.figures == json.loads((finished / "evaluation.json").read_text())
    # For a stage with averages, these are the averages of the checkpoint.
    _, restored = phases.restore(run.task, finished / "preprocessing", lambda name: finished / "stages" / name)
    for name, model in restored.items():
        for weight, expected in zip(run.models[name].get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_a_folder_without_a_finished_run_says_so(toy, finished, tmp_path):
    with pytest.raises(
        UserError, match=r"^`run` must be the folder of a run\. Received: run=/.*/none, which is not a folder$"
    ):
        pipelines.load(tmp_path / "none")
    with pytest.raises(UserError, match=r"^`run` must be the folder of a run, .* without a recipe\.yaml$"):
        pipelines.load(tmp_path)
    run = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(run / "models")
    with pytest.raises(
        UserError, match=r"^`run` must be a finished run\. Received: run=/.*/run, which is not finished; "
    ):
        pipelines.load(run)


def test_figures_of_other_weights_are_left_out(toy, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    results = json.loads((run / "evaluation.json").read_text())
    results["provenance"]["checkpoints"]["maker"]["sha256"] = "0" * 64
    (run / "evaluation.json").write_text(json.dumps(results))
    assert pipelines.load(run).figures == {}
    with pytest.raises(UserError, match=r"^the run in .*/run has not been evaluated\."):
        comparison.compare([finished, run], tmp_path / "page")

import json
import shutil

import numpy as np
import pytest

from ikelos.pipelines import comparison
from ikelos.pipelines.errors import UserError

ACCURACIES = {"one": 0.5, "two_$x": 0.75, "_three": 0.8}


@pytest.fixture
def runs(toy, finished, tmp_path):
    """Returns copies of a finished run with other seeds and figures, and names that matplotlib treats specially."""
    folders = []
    for seed, (name, accuracy) in enumerate(ACCURACIES.items()):
        folder = shutil.copytree(finished, tmp_path / name)
        recipe = (folder / "recipe.yaml").read_text()
        assert recipe.count("seed: 0") == 2
        (folder / "recipe.yaml").write_text(recipe.replace("seed: 0", f"seed: {seed}"))
        results = json.loads((folder / "evaluation.json").read_text())
        results["model"]["accuracy"] = accuracy
        (folder / "evaluation.json").write_text(json.dumps(results))
        folders.append(folder)
    return folders


def test_runs_of_other_seeds_have_a_mean_and_a_spread(runs, tmp_path):
    found = comparison.compare(runs, tmp_path / "page")
    values = list(ACCURACIES.values())
    assert [figures["accuracy"] for figures in found.figures.values()] == values
    assert found.differences == {"judge.seed": (0, 1, 2), "maker.seed": (0, 1, 2)}
    assert found.spread["accuracy"].mean == pytest.approx(np.mean(values))
    assert found.spread["accuracy"].deviation == pytest.approx(np.std(values, ddof=1))
    assert [row[0] for row in comparison.rows(found)] == [*map(str, runs), "mean", "standard deviation"]
    page = found.written["Comparison"].read_text()
    for text in (*map(str, runs), "68.3%", "16.1%", "judge.seed", "Validation: maker"):
        assert text in page
    numbers = json.loads(found.written["Its numbers"].read_text())["facts"]
    assert numbers["spread"]["accuracy"]["mean"] == pytest.approx(np.mean(values))


def test_runs_that_differ_otherwise_have_none_and_other_data_is_told(runs, tmp_path):
    recipe = (runs[1] / "recipe.yaml").read_text()
    (runs[1] / "recipe.yaml").write_text(
        recipe.replace("seed: 1", "seed: 0").replace("batch_size: 16", "batch_size: 8")
    )
    results = json.loads((runs[1] / "evaluation.json").read_text())
    results["data"]["test"]["sha256"] = "0" * 64
    (runs[1] / "evaluation.json").write_text(json.dumps(results))
    found = comparison.compare(runs[:2], tmp_path / "page")
    assert (found.spread, found.same_data) == ({}, False)
    assert found.differences == {"judge.batch_size": (16, 8), "maker.batch_size": (16, 8)}
    assert "measured on different test data" in found.written["Comparison"].read_text()


def test_what_cannot_be_compared_is_named(runs, tmp_path):
    (runs[1] / "evaluation.json").unlink()
    with pytest.raises(UserError, match=rf"^the run in {runs[0].parent}/two_.* has not been evaluated"):
        comparison.compare(runs, tmp_path / "page")

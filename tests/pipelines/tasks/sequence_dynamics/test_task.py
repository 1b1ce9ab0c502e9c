import json

import numpy as np
import pytest

from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import runner
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.task import of_recipe
from ikelos.serving import StockModel


def test_a_run_measures_all_networks_and_serves_one(shrunk, tmp_path, saved):
    outcome = runner.run(shrunk("sequence_dynamics"), tmp_path / "run")
    assert "% right on 24 held-out sequences; Guessing: " in outcome["Result"]
    figures = json.loads((tmp_path / "run" / "evaluation.json").read_text())["model"]
    curves = [curve["lstm"] for curve in figures["accuracies"].values()]
    assert [[lag for lag, _ in curve] for curve in curves] == [[2, 5], [2, 5]]
    assert figures["accuracy"] == pytest.approx(np.mean([value for curve in curves for _, value in curve]))
    assert figures["nats_per_token"]["lstm"] > 0
    assert len(figures["gradients"]["trained"]["lstm"]) == len(figures["gradients"]["gains"]["1"]) == 6
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    headings = [section["heading"] for section in report["sections"]]
    assert headings[1:6] == ["Accuracy by lag", "Gradients by distance in time", "Clipping", "Speed by length", "Text"]
    assert [tile["label"] for tile in report["sections"][0]["tiles"]][2] == "networks trained"
    history = (tmp_path / "run" / "stages" / "unclipped_rnn" / "history.jsonl").read_text().splitlines()
    assert not any(record.get("clipped") for record in map(json.loads, history))
    with StockModel(tmp_path / "run" / "export" / "1") as served:
        found = served.run("serving_default", {"symbols": [[2, 1], [0, 0]], "lag": [5, 1]})
        alone = served.run("serving_default", {"symbols": [[0, 0]], "lag": [1]})
        total = served.run("add", {"numbers": [[0.5, 0.25]], "marks": [[1, 1]]})["sum"]
        with pytest.raises(Exception, match="`marks` must have two ones in each row"):
            served.run("add", {"numbers": [[0.5, 0.5, 0.5]], "marks": [[1, 1, 1]]})
    np.testing.assert_allclose(found["probability"][1], alone["probability"][0], rtol=1e-5)
    network = saved(tmp_path / "run" / "models" / "adding_lstm.keras")
    np.testing.assert_allclose(
        network(np.array([[[0.5, 1], [0.25, 1]]], "float32"))[:, -1, 0], total, rtol=1e-4, atol=1e-6
    )


def test_test_windows_are_consecutive_and_full(shrunk, store_of):
    def text(length):
        settings = shrunk("sequence_dynamics", f"problems.text_length={length}", "evaluation.text_windows=9")
        return of_recipe(settings)._test_text({"test": store_of({"tokens": [np.arange(10, 15), np.arange(15, 21)]})})

    assert [list(tokens) for tokens in text(4)] == [[*range(10, 18)]]
    with pytest.raises(UserError, match=r"`problems\.text_length` must be at most 11"):
        text(12)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "evaluation.headline=rnn",
            r"`model.kinds` must be .* evaluation.headline=rnn. Received: model.kinds=\['lstm'\]",
        ),
        ("problems.lags=[1, 4]", r"`problems.lags` must be .* from 2. Received: problems.lags=\[1, 4\]"),
        ("evaluation.lags=[]", r"`evaluation.lags` must be "),
        ("model.num_heads=3", r"`units` must be a multiple of twice `num_heads`"),
    ],
)
def test_a_recipe_that_does_not_fit_together_is_refused(shrunk, override, says):
    with pytest.raises(UserError, match=says):
        shrunk("sequence_dynamics", override)


def test_the_recipe_that_ships_is_valid():
    assert recipes.load("sequence_dynamics").task == "sequence_dynamics"

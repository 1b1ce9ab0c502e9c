import json

import numpy as np
import pytest

from ikelos.pipelines import runner
from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.data.store import Store
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tasks.translation.task import STAGE
from ikelos.pipelines.text.vocabulary.special import BEGIN, END
from ikelos.serving import StockModel

LSTM = "model={architecture: lstm, num_layers: 1, size: 16, num_heads: 2, dropout: 0.1}"


@pytest.fixture
def opened(shrunk):
    """Returns the tiny recipe's task and its prepared data."""

    def open_task(*overrides):
        task = tasks.of_recipe(shrunk("number_translation", *overrides))
        return task, preparation.prepare(task.preparation())

    return open_task


def test_targets_follow_begin_and_long_pairs_are_left_out_of_training(opened, capsys):
    task, data = opened("data.buckets=[7, 8]")
    (stage,) = task.stages(data.learned)
    feed = stage.feed(data.splits, {})
    lengths = np.maximum(*(data.splits["train"].ragged(column).lengths for column in ("source", "target")))
    assert feed.units == (lengths <= 8).sum() < len(lengths)
    assert f"{(lengths > 8).sum()} training pairs are left out, as a text is longer than 8" in capsys.readouterr().out
    batch = next(iter(feed.train(0, WHOLE)))
    target = batch["x"]["target"].numpy()
    assert (target[:, 0] == BEGIN).all()
    np.testing.assert_array_equal(
        target[:, 1:] * (batch["y"][:, 1:] != 0), batch["y"][:, :-1] * (batch["y"][:, 1:] != 0)
    )
    assert ((batch["x"]["source"] == END).numpy().sum(axis=1) == 1).all()


def test_figures_are_those_of_all_pairs_but_the_groups_apart(opened, monkeypatch):
    task, data = opened("evaluation.apart=[words]")
    test = data.splits["test"]
    references = test.texts("target_text")
    groups = ["words" if index % 2 else "others" for index in range(len(test))]
    texts = Store.texts
    monkeypatch.setattr(Store, "texts", lambda *a: groups if a[1] == "group" else texts(*a))
    found = task._figures(test, [text if index % 2 else "" for index, text in enumerate(references)])
    assert found["exact_match"] == 0
    assert found["pairs"] == len(test) - len(test) // 2
    assert {name: part["exact_match"] for name, part in found["groups"].items()} == {"others": 0, "words": 100}
    groups = ["words"] * len(test)
    with pytest.raises(UserError, match=r"`evaluation\.apart` must leave a group of the test pairs"):
        task._figures(test, references)


def test_baselines_know_the_training_pairs_alone(opened):
    task, data = opened()
    found = task.baselines(data.learned, data.splits)
    assert list(found) == [
        "The source itself",
        "Word by word, first 20 pairs",
        "Nearest training pair, first 20 pairs",
    ]
    test = data.splits["test"]
    equal = sum(a == b for a, b in zip(*(test.texts(c) for c in ("source_text", "target_text")), strict=True))
    assert found["The source itself"]["exact_match"] == pytest.approx(100 * equal / len(test))
    assert list(opened("evaluation.baseline_pairs=0")[0].baselines(data.learned, data.splits)) == ["The source itself"]


@pytest.mark.parametrize(
    "overrides", [(), pytest.param((LSTM, "data.vocabulary={kind: bpe, size: 280}"), marks=pytest.mark.slow)]
)
def test_a_run_is_trained_reported_and_served(shrunk, tmp_path, overrides):
    runner.run(shrunk("number_translation", *overrides), tmp_path / "run")
    history = (tmp_path / "run" / "stages" / STAGE / "history.jsonl").read_text().splitlines()
    losses = [record["validation_loss"] for record in map(json.loads, history) if record["event"] == "epoch"]
    assert losses[-1] < losses[0]
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert 0 <= results["model"]["chrf"] <= 100
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    (table,) = [section for section in report["sections"] if section["heading"] == "Translations"]
    assert [row[2] for row in table["rows"]] == results["model"]["shown"]
    with StockModel(tmp_path / "run" / "export" / "1") as served:
        found = served.run("serving_default", {"text": [table["rows"][0][0], ""]})
    # The test translations were made in batches of other lengths: the words are the same nevertheless.
    assert found["translation"][0].decode() == results["model"]["shown"][0]
    assert found["translation"][1] == b""

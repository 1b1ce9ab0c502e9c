import json

import numpy as np
import pytest

from ikelos.pipelines import runner
from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import preparation
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.evaluation import reply_metrics, reply_scores
from ikelos.pipelines.evaluation.reply_scores import Turns
from ikelos.pipelines.tasks.dialogue.task import LANGUAGE_MODEL, RANKER
from ikelos.pipelines.text import replying
from ikelos.pipelines.text.vocabulary.special import BEGIN
from ikelos.serving import StockModel

LSTM = "model={architecture: lstm, context: 24, num_layers: 1, size: 16, dropout: 0.0}"


@pytest.fixture
def opened(shrunk):
    """Returns the tiny recipe's task and its prepared data."""

    def open_task(*overrides):
        task = tasks.of_recipe(shrunk("dialogue", *overrides))
        return task, preparation.prepare(task.preparation())

    return open_task


def test_the_language_model_need_not_predict_what_is_given(opened):
    task, data = opened()
    _, stage = task.stages(data.learned)
    feed = stage.feed(data.splits, {RANKER: None})
    batch = next(iter(feed.train(0, WHOLE)))
    y, given = batch["y"].numpy(), batch["sample_weight"].numpy() == 0
    np.testing.assert_array_equal(given, (y >= data.learned.vocabulary.size) | (y == BEGIN))
    assert given.any()
    trained = {int(token) for batch in feed.train(0, WHOLE).take(20) for token in batch["x"].numpy().ravel()}
    assert trained == set(data.splits["train"].ragged("tokens").values.tolist())


def test_the_ranker_begins_with_the_frequencies_of_the_tokens(opened):
    task, data = opened()
    stage, _ = task.stages(data.learned)
    feed, model = stage.feed(data.splits, {}), stage.build({})
    feed.initialize(model)
    counts = np.bincount(data.splits["train"].ragged("tokens").values, minlength=model.vocabulary_size)
    np.testing.assert_array_equal(
        np.argsort(model.token_scale.numpy(), kind="stable"), np.argsort(-counts, kind="stable")
    )
    assert next(iter(feed.train(0, WHOLE))).keys() == {"id", "x"}


def test_scores_add_the_likelihood_with_its_weight(opened, monkeypatch):
    task, data = opened()
    turns = Turns.of(data.splits["test"], data.learned.vocabulary)
    right = np.tile([1.0, 0.5, 0.0], [len(task._questions(turns).turn), 1])
    monkeypatch.setattr(reply_scores, "ranker_scores", lambda *_: -right)
    monkeypatch.setattr(reply_scores, "mutual_information", lambda *_: right)
    monkeypatch.setattr(reply_scores, "token_cost", lambda *_: np.ones(2))
    monkeypatch.setattr(replying, "write", lambda *arguments, **_: ["a"] * len(arguments[3]))
    models = {LANGUAGE_MODEL: None, RANKER: None}
    for weight, hits in ((2.0, 1), (0.5, 0)):
        found = opened(f"evaluation.likelihood_weight={weight}")[0].evaluate(data.learned, data.splits, models)
        assert (found["hits"], found["hits_ranker"], found["hits_language_model"]) == (hits, 0, 1)
    assert "hits_language_model" not in task.evaluate(data.learned, data.splits, models)


def test_all_runs_have_the_same_questions(opened):
    task, data = opened()
    other, _ = opened("training.seed=7", "ranker_training.seed=8")
    turns = Turns.of(data.splits["test"], data.learned.vocabulary)
    for ours, theirs in zip(vars(task._questions(turns)).values(), vars(other._questions(turns)).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert reply_metrics.hits(np.zeros([2, 4])).tolist() == [0.25, 0.25]


def test_a_run_is_trained_reported_and_served(shrunk, tmp_path):
    # An LSTM has the smallest graph, and tracing takes most of the time.
    runner.run(shrunk("dialogue", LSTM), tmp_path / "run")
    for stage, figure in ((RANKER, "validation_reply_accuracy"), (LANGUAGE_MODEL, "validation_loss")):
        history = (tmp_path / "run" / "stages" / stage / "history.jsonl").read_text().splitlines()
        assert all(figure in record for record in map(json.loads, history) if record["event"] == "epoch")
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert list(results["baselines"]) == ["TF-IDF", "Most frequent reply", "Kneser-Ney"]
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    figures, table = (
        next(section for section in report["sections"] if section["heading"] == heading)
        for heading in ("All figures", "Replies")
    )
    assert [row[1] for row in figures["rows"]] == [
        found["hits"] for found in (results["model"], *results["baselines"].values())
    ]
    assert [row[2] for row in table["rows"]] == results["model"]["written"]
    with StockModel(tmp_path / "run" / "export" / "1") as served:
        sent = {"history": ["hello\nyou", ""], "temperature": [0.8, 0.8], "top_p": [0.9, 0.9], "seed": [1, 2]}
        both = served.run("serving_default", sent)
        alone = served.run("serving_default", {name: values[1:] for name, values in sent.items()})
        assert both["reply"][1] == alone["reply"][0]
        ranked = served.run("rank", {"history": ["hello"], "replies": [["a", "b", "c"]]})
        assert ranked["score"].shape == (1, 3)

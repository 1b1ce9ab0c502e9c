import json
import math
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import pipelines
from ikelos.pipelines import runner
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.evaluation import likelihood
from ikelos.pipelines.tasks.language_modeling.task import STAGE
from ikelos.pipelines.text import scoring, windows
from ikelos.pipelines.text.vocabulary.special import BEGIN, END
from ikelos.pipelines.training import history
from ikelos.pipelines.training.fit import fit
from ikelos.serving import StockModel

BUCKETED = ("data.batching=bucketed", "data.buckets=[4, 16]")


@pytest.mark.parametrize("overrides", [(), BUCKETED, ("data.vocabulary.kind=byte",)])
def test_examples_begin_with_begin_and_predict_the_next_token(prepared, overrides):
    task, preprocessing, splits = prepared(*overrides)
    (stage,) = task.stages(preprocessing)
    feed = stage.feed(splits, {})
    batch = next(iter(feed.train(0, WHOLE)))
    x, y = batch["x"].numpy(), batch["y"].numpy()
    assert (x[:, 0] == BEGIN).all()
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert len(set(batch["id"].numpy())) == task.config.training.batch_size
    assert feed.units == splits["train"].ragged("tokens").lengths.sum()


def test_an_untrained_model_costs_about_a_uniform_guess_and_a_bigram_less(prepared):
    task, preprocessing, splits = prepared()
    model = task.stages(preprocessing)[0].build({})
    result = task.evaluate(preprocessing, splits, {STAGE: model})
    (baseline,) = task.baselines(preprocessing, splits).values()
    vocabulary = preprocessing.vocabulary
    uniform = (26 * math.log(vocabulary.size) + vocabulary.unknown_cost) / 25
    assert result["nats_per_character"] == pytest.approx(uniform, rel=0.05)
    assert result["unknown_tokens"] == 1  # the é, which occurs only in the test text
    assert baseline["nats_per_character"] < result["nats_per_character"]
    shorter = prepared("evaluation.ngram_tokens=100")[0].baselines(preprocessing, splits)
    (name,) = shorter
    assert name.endswith("-gram, first 100 tokens")
    assert shorter[name]["nats_per_character"] > baseline["nats_per_character"]
    assert list(result["documents"]) == list(splits["test"].ids) == list(baseline["documents"])


def test_documents_share_the_cost_by_their_characters(built, store_of):
    task, preprocessing, _, model = built()
    words, texts = preprocessing.vocabulary, ["the cat", "a", "the dog sat on the log. é the cat sat on the mat."]
    tokens = [np.append(words.tokens(text), END).astype(np.uint16) for text in texts]
    test = store_of({"tokens": tokens, "characters": np.array([len(text) for text in texts])}, ["z", "a", "m"])
    figures = task.evaluate(preprocessing, {"test": test}, {STAGE: model})
    found = task.by_example(figures)
    np.testing.assert_array_equal(found.weights, [7, 1, 49])
    mean = np.average(found.totals / found.weights, weights=found.weights)
    assert mean == pytest.approx(figures["nats_per_character"], rel=1e-12)
    # The served scores are computed in another way.
    rows = tf.ragged.constant([document.astype(np.int32) for document in tokens])
    scores = scoring.log_likelihood(model, rows, task.config.model.context, 8, words.unknown_cost)
    np.testing.assert_allclose(found.totals, -scores.numpy().astype(np.float64), rtol=1e-5)


@pytest.mark.usefixtures("_eager")
def test_losses_count_no_padding(prepared, store_of, tmp_path):
    task, preprocessing, splits = prepared(
        "training.steps=1",
        "training.steps_per_epoch=1",
        "evaluation.batch_size=1",
        "data.batching=bucketed",
        "data.buckets=[16]",
        "model.ngrams=null",  # in training, n-grams leave out the token that they predict
    )
    first = splits["train"].ragged("tokens")[0]
    split = store_of({"tokens": [first[:3], first[:90]], "characters": np.array([3, 90])})
    (stage,) = task.stages(preprocessing)
    splits = {"train": split, "validation": split}
    batch = next(iter(stage.feed(splits, {}).train(0, WHOLE)))
    rows = [y[weight > 0] for y, weight in zip(batch["y"].numpy(), batch["sample_weight"].numpy(), strict=True)]
    assert {len(row) for row in rows} > {3}
    trained = fit(stage, splits, {}, tmp_path / "stage")
    records = history.read(tmp_path / "stage" / "history.jsonl")
    (epoch,) = [record for record in records if record["event"] == "epoch"]

    def mean_nll(model, documents):
        dataset = windows.strided(documents, 16, 16, 4)
        return np.concatenate(list(likelihood.token_nll(model, dataset, len(documents.values)))).mean()

    assert epoch["validation_loss"] == pytest.approx(mean_nll(trained, split.ragged("tokens")), rel=1e-5)
    keras.utils.set_random_seed(task.config.training.seed)
    assert epoch["loss"] == pytest.approx(mean_nll(stage.build({}), Ragged.of(rows)), rel=1e-5)


GUIDE = pathlib.Path(__file__).parents[4] / "docs" / "runs.md"
OTHERS = re.compile("shakespeare|hamlet|romeo|nanogpt|to be, or not", re.IGNORECASE)


@pytest.mark.usefixtures("_eager")
def test_an_lstm_of_subwords_is_trained_reported_served_and_used_in_python(tiny, tmp_path, monkeypatch, capsys):
    lstm = "model={architecture: lstm, context: 16, num_layers: 1, size: 16, dropout: 0.0}"
    subwords = "data.vocabulary={kind: bpe, size: 290}"
    as_shipped = ("evaluation.peers=null", "evaluation.samples.prompts=null")
    short = ("training.steps=2", "training.steps_per_epoch=2", "export.max_length=200")
    runner.run(tiny(lstm, subwords, *as_shipped, *short), tmp_path / "run")
    with StockModel(tmp_path / "run" / "export" / "1") as served:
        scored = served.run("serving_default", {"text": ["the cat", "", "é"]})
        row = {"length": [9], "temperature": [0.0], "top_k": [0], "top_p": [1.0], "seed": [0], "stop": [[""]]}
        written = served.run("generate", {"prompt": ["the cat"], **row})
    assert np.isfinite(scored["log_likelihood"]).all()
    # The model that Keras loads returns the same.
    run = pipelines.load(tmp_path / "run")
    logits = run.model(run.preprocessing.token_batch(["the cat"]))
    following = scored["next_token_log_probabilities"][0]
    np.testing.assert_allclose(tf.nn.log_softmax(logits[0, -1]), following, rtol=1e-4, atol=1e-5)
    written["text"][0].decode()
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert re.fullmatch(r"Language model: own texts \(.*train.*\)", report["title"])
    headings = ["", "Against baselines", "By document", "Training", "Generated texts", "Cost of each token"]
    assert [section["heading"] for section in report["sections"]] == [*headings, "The data", "The machine"]
    assert report["sections"][1]["alt"].startswith("Nats per character: Ikelos lstm, 1 layers, 16 wide ")
    surprisal = report["sections"][5]
    # The é is encoded as two bytes, neither of which is a character.
    assert "".join(surprisal["pieces"]) == "the cat sat on the log. \ufffd\ufffd"
    assert max(map(len, surprisal["pieces"])) > 1
    assert len(surprisal["nats"]) == len(surprisal["pieces"])
    # The report and the examples contain only text of this run's data.
    assert [sample["prompt"] for sample in report["sections"][4]["samples"]] == [
        "",
        "the cat sat on the mat. the dog sat on ",
    ]
    written = [*(tmp_path / "run").glob("report/*"), *(tmp_path / "run").glob("export/1/assets.extra/*.json")]
    assert len(written) > 2
    for path in (*written, tmp_path / "run" / "recipe.yaml"):
        assert not OTHERS.search(path.read_text()), path

    # The examples of the guide run as they are.
    (tmp_path / "runs").mkdir()
    (tmp_path / "run").rename(tmp_path / "runs" / "language_modeling")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    examples = [example for example in examples if '"runs/language_modeling' in example]
    assert len(examples) == 3
    for example in examples:
        capsys.readouterr()
        exec(example, {})
        assert capsys.readouterr().out

import numpy as np
import pytest

from ikelos.layers import LSTMLanguageModel
from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.recipe.sections import PlainTraining
from ikelos.pipelines.text import language_model, windows
from ikelos.pipelines.text.model_sections import LSTM, Ngrams, Transformer

DOCUMENTS = Ragged.of([np.arange(60) % 7, np.arange(40) % 5])


@pytest.fixture
def transformer():
    def make(ngrams):
        sizes = {"context": 8, "num_layers": 1, "size": 8, "num_heads": 2, "hidden_size": 8, "dropout": 0.0}
        return Transformer(architecture="transformer", **sizes, ngrams=ngrams)

    return make


def test_counts_what_the_section_allows_and_says_if_long_ngrams_have_no_room(transformer, capsys):
    settings = transformer(Ngrams(order=3, max_ngrams=500, max_tokens=60, longest_match=4))
    model = language_model.build(settings, 9, "mine")
    language_model.count(settings, model, DOCUMENTS)
    assert (model.name, model.ngram_order, model.longest_match, model.max_ngrams) == ("mine", 3, 4, 500)
    # The first 60 tokens are those of the first document.
    whole = language_model.build(settings, 9, "whole")
    whole.adapt([DOCUMENTS[0]])
    np.testing.assert_array_equal(model.mixture.ngrams.counts, whole.mixture.ngrams.counts)
    assert "no room" not in capsys.readouterr().out
    small = transformer(Ngrams(order=3, max_ngrams=12, max_tokens=60, longest_match=4))
    language_model.count(small, language_model.build(small, 9, "small"), DOCUMENTS)
    assert (
        "n-grams of more than 1 tokens are dropped: model.ngrams.max_ngrams leaves no room" in capsys.readouterr().out
    )


def test_models_without_ngrams_count_nothing(transformer):
    for settings in (
        transformer(None),
        LSTM(architecture="lstm", context=8, num_layers=1, size=8, dropout=0.0),
    ):
        model = language_model.build(settings, 9, "mine")
        before = [weight.copy() for weight in model.get_weights()]
        language_model.count(settings, model, DOCUMENTS)
        for weight, kept in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, kept)
    assert isinstance(model, LSTMLanguageModel)


@pytest.mark.parametrize("buckets", [None, [4, 8]])
def test_the_feed_is_that_of_the_windows(buckets):
    training = PlainTraining.model_construct(batch_size=3, seed=5)
    feed = language_model.feed(
        DOCUMENTS, DOCUMENTS, 8, training, 2, buckets, prepare=lambda batch: batch | {"id": -batch["id"]}
    )
    if buckets is None:
        expected = windows.packed(DOCUMENTS.values, 8, 3, 5, 2)
        assert feed.units_per_step == 3 * 8
    else:
        rows = windows.pieces(DOCUMENTS, 8)
        expected = windows.bucketed(rows, buckets, 3, 5, 2)
        assert feed.units_per_step == round(3 * 100 / len(rows))
    assert feed.units == 100
    pairs = [(feed.train(2, WHOLE).take(4), expected), (feed.validation, windows.strided(DOCUMENTS, 8, 8, 2))]
    for found, wanted in pairs:
        for ours, theirs in zip(found, wanted, strict=False):
            np.testing.assert_array_equal(ours["x"], theirs["x"])
            np.testing.assert_array_equal(ours["id"], -theirs["id"])


def test_the_stage_predicts_the_next_token():
    stage = language_model.stage("mine", PlainTraining.model_construct(), lambda _: "model", lambda *_: "feed")
    assert (stage.name, stage.build({}), stage.feed({}, {})) == ("mine", "model", "feed")
    assert (stage.unit, stage.metric.unit) == ("tokens", "nats per token")
    assert float(stage.loss(np.array([[1]]), np.zeros([1, 1, 2], np.float32))) == pytest.approx(np.log(2))

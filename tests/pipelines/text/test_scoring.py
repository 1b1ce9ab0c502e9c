import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import TransformerLanguageModel
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.evaluation import likelihood
from ikelos.pipelines.text import scoring, windows

CONTEXT, VOCABULARY = 8, 11


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    model = TransformerLanguageModel(VOCABULARY, CONTEXT, num_layers=1, size=8, num_heads=2, hidden_size=8)
    model.build((None, CONTEXT))
    return model


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_agrees_with_the_windows_of_evaluation(model, stride, monkeypatch):
    monkeypatch.setattr(scoring, "_WINDOWS_AT_ONCE", 3)
    generator = np.random.default_rng(0)
    rows = [generator.integers(3, VOCABULARY, size).astype(np.int32) for size in (1, 7, 8, 9, 30)]
    got = scoring.log_likelihood(model, tf.ragged.constant(rows, dtype=tf.int32), CONTEXT, stride, unknown_cost=2.5)
    documents = Ragged.of(rows)
    nll = likelihood.token_nll(model, windows.strided(documents, CONTEXT, stride, 4), len(documents.values))
    each = likelihood.likelihoods(nll, documents, [1] * len(rows), unknown_cost=2.5)
    assert sum(found.unknown_tokens for found in each)
    expected = [-found.nats for found in each]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_an_empty_row_costs_nothing_and_disturbs_no_other(model):
    both = scoring.log_likelihood(model, tf.ragged.constant([[], [5, 6]], dtype=tf.int32), CONTEXT, 4, 0.0)
    alone = scoring.log_likelihood(model, tf.ragged.constant([[5, 6]], dtype=tf.int32), CONTEXT, 4, 0.0)
    assert both[0] == 0.0
    np.testing.assert_allclose(both[1], alone[0], rtol=1e-6)

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.evaluation import likelihood, ngram
from ikelos.pipelines.text import windows

VOCABULARY_SIZE = 11


@pytest.fixture
def documents():
    generator = np.random.default_rng(0)
    return [np.append(generator.integers(3, VOCABULARY_SIZE, length), 2).astype(np.int32) for length in (22, 3, 9)]


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input([None], dtype="int32"),
            keras.layers.Embedding(VOCABULARY_SIZE, 6, embeddings_initializer="random_normal"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(VOCABULARY_SIZE, kernel_initializer="random_normal"),
        ]
    )


def expected_nll(model, document):
    """The same model in float64 NumPy: it sees one token, so that windows make no difference."""
    embeddings, kernel, bias = (np.asarray(weight, np.float64) for weight in model.get_weights())
    x = np.concatenate([[1], document[:-1]])
    logits = embeddings[x] @ kernel + bias
    normaliser = np.log(np.exp(logits).sum(axis=-1))
    return normaliser - logits[np.arange(len(document)), document]


def test_each_token_agrees_with_numpy_in_float64(model, documents):
    dataset = windows.strided(documents, context=8, stride=3, batch_size=4)
    found = likelihood.token_nll(model, dataset, [len(document) for document in documents])
    for document, nll in zip(documents, found, strict=True):
        assert nll.dtype == np.float64
        np.testing.assert_allclose(nll, expected_nll(model, document), rtol=2e-6)


def test_traces_once(model, documents):
    calls = []
    inner = model.call

    def call(*args, **kwargs):
        calls.append(1)
        return inner(*args, **kwargs)

    model.call = call
    dataset = windows.strided(documents, context=8, stride=3, batch_size=4)
    assert len({tuple(batch["x"].shape) for batch in dataset}) == 2
    likelihood.token_nll(model, dataset, [len(document) for document in documents])
    assert len(calls) == 1


def test_lengths_that_do_not_fit_are_refused(model, documents):
    dataset = windows.strided(documents, context=8, stride=3, batch_size=4)
    with pytest.raises(ValueError, match=r"token 37 of 38 counted 0 times"):
        likelihood.token_nll(model, dataset, [23, 4, 11])
    with pytest.raises(ValueError, match=r"`lengths` add up to 30 tokens"):
        likelihood.token_nll(model, dataset, [23, 4, 3])
    with pytest.raises(ValueError, match=r"token 0 of 37 counted 2 times"):
        likelihood.token_nll(model, dataset.concatenate(dataset), [23, 4, 10])


def test_not_a_number_is_refused(model, documents):
    embeddings, kernel, bias = model.get_weights()
    embeddings[documents[0][4]] = np.nan
    model.set_weights([embeddings, kernel, bias])
    dataset = windows.strided(documents[:1], context=8, stride=8, batch_size=4)
    first = int(np.argmax(documents[0] == documents[0][4])) + 1
    with pytest.raises(FloatingPointError, match=rf"token {first} of 23 is nan"):
        likelihood.token_nll(model, dataset, [23])


def test_half_precision_logits_are_summed_in_float32(documents):
    logits = tf.constant(np.linspace(-3, 3, VOCABULARY_SIZE), tf.float16)

    class Constant(keras.Model):
        def call(self, x, training=False):
            return tf.broadcast_to(logits, tf.concat([tf.shape(x), [VOCABULARY_SIZE]], 0))

    dataset = windows.strided(documents[:1], context=8, stride=8, batch_size=4)
    (found,) = likelihood.token_nll(Constant(), dataset, [23])
    exact = logits.numpy().astype(np.float64)
    expected = np.log(np.exp(exact).sum()) - exact[documents[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_figures_by_hand():
    documents = [np.array([5, 3, 3, 2]), np.array([6, 2])]
    nll = [np.array([1.0, 0.5, 0.25, 0.25]), np.array([3.0, 1.0])]
    first, second = likelihood.likelihoods(nll, documents, characters=[6, 1], unknown_cost=4.0)
    assert first.figures() == {
        "nats_per_character": 10 / 6,
        "bits_per_character": 10 / 6 / math.log(2),
        "nats": 10.0,
        "tokens": 4,
        "unknown_tokens": 2,
        "characters": 6,
    }
    assert second.nats_per_character == 4.0
    both = likelihood.together([first, second])
    assert both == likelihood.Likelihood(nats=14.0, tokens=6, unknown_tokens=2, characters=7)
    assert both.nats_per_character == 2.0


def test_a_uniform_model_costs_the_logarithm_of_the_vocabulary():
    document = np.array([5, 6, 7, 2])
    (found,) = likelihood.likelihoods([np.full(4, math.log(8))], [document], [4], unknown_cost=0.0)
    assert found.bits_per_character == pytest.approx(3.0, rel=1e-15)


def test_baselines_go_the_same_way(documents):
    model = ngram.fit(documents, 2, VOCABULARY_SIZE)
    nll = [-model.log_probabilities(document) for document in documents]
    found = likelihood.together(likelihood.likelihoods(nll, documents, [len(d) - 1 for d in documents], 1.5))
    unknown = sum(int((document == 3).sum()) for document in documents)
    assert unknown > 0
    assert found.nats == pytest.approx(sum(costs.sum() for costs in nll) + 1.5 * unknown, rel=1e-14)
    assert found.characters == 34


def test_documents_and_costs_must_match():
    with pytest.raises(ValueError, match=r"3 tokens for a document of 2"):
        likelihood.likelihoods([np.zeros(3)], [np.array([5, 2])], [1], 0.0)

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.evaluation import likelihood, ngram
from ikelos.pipelines.text import windows

VOCABULARY_SIZE = 11


@pytest.fixture
def documents():
    generator = np.random.default_rng(0)
    arrays = [np.append(generator.integers(3, VOCABULARY_SIZE, length), 2).astype(np.int32) for length in (22, 3, 9)]
    return Ragged.of(arrays)


def first_of(documents):
    return Ragged.of([documents[0]])


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
    """Returns the costs by the same model in float64 NumPy. It sees one token, so windows make no difference."""
    embeddings, kernel, bias = (np.asarray(weight, np.float64) for weight in model.get_weights())
    x = np.concatenate([[1], document[:-1]])
    logits = embeddings[x] @ kernel + bias
    normaliser = np.log(np.exp(logits).sum(axis=-1))
    return normaliser - logits[np.arange(len(document)), document]


def test_each_token_agrees_with_numpy_in_float64(model, documents):
    dataset = windows.strided(documents, context=8, stride=3, batch_size=4)
    found = list(likelihood.token_nll(model, dataset, 37))
    assert len(found) == -(-(6 + 1 + 2) // 4)  # in arrays of as many tokens as a batch counts
    assert all(nll.dtype == np.float64 for nll in found)
    expected = np.concatenate([expected_nll(model, document) for document in documents])
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=2e-6)


def test_traces_once(model, documents):
    calls = []
    inner = model.call

    def call(*args, **kwargs):
        calls.append(1)
        return inner(*args, **kwargs)

    model.call = call
    dataset = windows.strided(documents, context=8, stride=3, batch_size=4)
    assert len({tuple(batch["x"].shape) for batch in dataset}) == 2
    list(likelihood.token_nll(model, dataset, 37))
    assert len(calls) == 1


def test_tokens_that_are_not_counted_once_and_in_order_are_refused(model, documents):
    dataset = windows.strided(documents, context=8, stride=3, batch_size=4)
    for total in (36, 38):
        with pytest.raises(ValueError, match=rf"must count each token once. Received: 37 of {total} tokens"):
            list(likelihood.token_nll(model, dataset, total))
    with pytest.raises(ValueError, match=r"once and in order, .* behind 37 others"):
        list(likelihood.token_nll(model, dataset.concatenate(dataset), 74))
    with pytest.raises(ValueError, match=r"once and in order, .* behind 0 others"):
        list(likelihood.token_nll(model, dataset.skip(1), 37))


def test_not_a_number_is_refused(model, documents):
    embeddings, kernel, bias = model.get_weights()
    embeddings[documents[0][4]] = np.nan
    model.set_weights([embeddings, kernel, bias])
    dataset = windows.strided(first_of(documents), context=8, stride=8, batch_size=4)
    first = int(np.argmax(documents[0] == documents[0][4])) + 1
    with pytest.raises(FloatingPointError, match=rf"token {first} of 23 is nan"):
        list(likelihood.token_nll(model, dataset, 23))


def test_half_precision_logits_are_summed_in_float32(documents):
    logits = tf.constant(np.linspace(-3, 3, VOCABULARY_SIZE), tf.float16)

    class Constant(keras.Model):
        def call(self, x, training=False):
            return tf.broadcast_to(logits, tf.concat([tf.shape(x), [VOCABULARY_SIZE]], 0))

    dataset = windows.strided(first_of(documents), context=8, stride=8, batch_size=4)
    found = np.concatenate(list(likelihood.token_nll(Constant(), dataset, 23)))
    exact = logits.numpy().astype(np.float64)
    expected = np.log(np.exp(exact).sum()) - exact[documents[0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_figures_by_hand():
    documents = Ragged.of([np.array([5, 3, 3, 2]), np.array([6, 2])])
    nll = np.array([1.0, 0.5, 0.25, 0.25, 3.0, 1.0])
    first, second = likelihood.likelihoods([nll], documents, characters=[6, 1], unknown_cost=4.0)
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
    (found,) = likelihood.likelihoods([np.full(4, math.log(8))], Ragged.of([document]), [4], unknown_cost=0.0)
    assert found.bits_per_character == pytest.approx(3.0, rel=1e-15)


def test_baselines_go_the_same_way(documents):
    model = ngram.fit(documents, 2, VOCABULARY_SIZE)
    nll = [-model.log_probabilities(document) for document in documents]
    found = likelihood.together(likelihood.likelihoods(nll, documents, [len(d) - 1 for d in documents], 1.5))
    unknown = sum(int((document == 3).sum()) for document in documents)
    assert unknown > 0
    assert found.nats == pytest.approx(sum(costs.sum() for costs in nll) + 1.5 * unknown, rel=1e-14)
    assert found.characters == 34


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_costs_may_come_in_arrays_of_any_length(size):
    documents = Ragged.of([np.full(length, 5) for length in (0, 3, 0, 0, 1, 7, 0)])
    nll = np.arange(11.0)
    parts = [nll[start : start + size] for start in range(0, 11, size)] + [nll[:0]]
    found = likelihood.likelihoods(parts, documents, [1] * 7, 0.0)
    assert [part.nats for part in found] == [0, 3, 0, 0, 3, 4 + 5 + 6 + 7 + 8 + 9 + 10, 0]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_documents_and_costs_must_match(number):
    documents = Ragged.of([np.array([5, 2])])
    found = number if number < 2 else "more"
    with pytest.raises(ValueError, match=f"`nll` must be of 2 tokens. Received: {found}"):
        likelihood.likelihoods([np.zeros(number)], documents, [1], 0.0)


def test_costs_behind_the_last_token_in_an_array_of_their_own_are_refused():
    documents = Ragged.of([np.array([5, 2])])
    with pytest.raises(ValueError, match=r"`nll` must be of 2 tokens. Received: more"):
        likelihood.likelihoods([np.zeros(2), np.zeros(1)], documents, [1], 0.0)
    (found,) = likelihood.likelihoods([np.ones(2), np.zeros(0)], documents, [1], 0.0)
    assert found.nats == 2

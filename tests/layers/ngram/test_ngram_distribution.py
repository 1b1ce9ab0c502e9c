from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import NgramDistribution
from ikelos.layers.ngram.counting import discounts
from ikelos.layers.testing import check_config
from ikelos.pipelines.evaluation import ngram

ORDER, SIZE = 4, 12
ARGUMENTS = {"vocabulary_size": SIZE, "order": ORDER, "max_ngrams": 2000, "padding_id": -1}


@pytest.fixture(scope="module")
def documents():
    """Returns documents in which few tokens are frequent, so that some long n-grams repeat and others occur once."""
    rng = np.random.default_rng(7)
    weights = 1.0 / np.arange(1, SIZE + 1)
    return [rng.choice(SIZE, length, p=weights / weights.sum()).astype("int32") for length in (300, 57)]


@pytest.fixture(scope="module")
def layer(documents):
    layer = NgramDistribution(**ARGUMENTS)
    layer.adapt(documents)
    return layer


class BruteForce:
    """Interpolated modified Kneser-Ney by tuples of tokens, from its definition, without one occurrence if asked."""

    def __init__(self, documents):
        texts = [(-1,) * ORDER + tuple(document.tolist()) for document in documents]
        self.longest = Counter(text[i - ORDER + 1 : i + 1] for text in texts for i in range(ORDER, len(text)))
        self.rates = [discounts(np.array(list(counts.values()))) for counts in self.counts(self.longest)]

    def counts(self, longest):
        levels = [longest]
        for _ in range(ORDER - 1):
            levels.insert(0, Counter(gram[1:] for gram in levels[0]))
        return levels

    def probabilities(self, context, left_out=None):
        longest = Counter(self.longest)
        if left_out is not None:
            longest -= Counter([(*context[-ORDER + 1 :], left_out)])
        found = np.full(SIZE, 1 / SIZE)
        for n, (counts, rates) in enumerate(zip(self.counts(longest), self.rates, strict=True)):
            end = context[len(context) - n :]
            own = np.array([counts[(*end, token)] for token in range(SIZE)])
            if own.sum():
                taken = rates[np.minimum(own, 3)]
                found = (own - taken) / own.sum() + taken.sum() / own.sum() * found
        return found


def test_agrees_with_the_definition(layer, documents):
    expected = BruteForce(documents)
    unseen = np.random.default_rng(8).integers(0, SIZE, 40).astype("int32")
    for text in (documents[0][20:60], unseen):
        found = layer(text[None])[0].numpy()
        for t in range(ORDER - 2, len(text)):
            np.testing.assert_allclose(found[t], expected.probabilities(tuple(text[: t + 1].tolist())), atol=1e-6)


def test_leaves_out_what_it_predicts_in_training(layer, documents):
    expected, text = BruteForce(documents), documents[0][20:60]
    found = layer(text[None], training=True)[0].numpy()
    differing = 0
    for t in range(ORDER - 2, len(text) - 1):
        context = tuple(text[: t + 1].tolist())
        wanted = expected.probabilities(context, left_out=int(text[t + 1]))
        np.testing.assert_allclose(found[t], wanted, atol=1e-6)
        differing += np.abs(wanted - expected.probabilities(context)).max() > 0.01
    assert differing > 20


def test_knows_little_of_what_follows_the_last_token_in_training(layer, documents):
    text = documents[0][None, 20:30]
    last = layer(text, training=True)[0, -1]
    np.testing.assert_allclose(last, layer(text[:, -1:])[0, 0], atol=1e-6)
    assert np.abs(last - layer(text)[0, -1]).max() > 0.01


def test_agrees_with_the_model_that_gives_likelihoods(layer, documents):
    unseen = np.random.default_rng(9).integers(0, SIZE, 60)
    wanted = np.exp(ngram.fit(documents, ORDER, SIZE).log_probabilities(unseen))
    found = layer(unseen[None, :-1])[0].numpy()[np.arange(59), unseen[1:]]
    np.testing.assert_allclose(found[ORDER - 2 :], wanted[ORDER - 1 :], rtol=1e-4)


def test_a_padded_row_predicts_its_last_token_as_a_shorter_one_does(documents):
    layer = NgramDistribution(SIZE + 1, ORDER, 2000)
    layer.adapt([document + 1 for document in documents])
    text = documents[0][None, 20:30] + 1
    padded = np.pad(text, [[0, 0], [0, 4]])
    np.testing.assert_allclose(layer(padded, training=True)[:, :10], layer(text, training=True), atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("order", [1, 2, 6])
def test_probabilities_sum_to_one(documents, order, training):
    layer = NgramDistribution(SIZE, order, 2000)
    layer.adapt(documents)
    texts = np.stack([documents[0][:50], documents[1][:50]])
    np.testing.assert_allclose(tf.reduce_sum(layer(texts, training=training), axis=-1), np.ones([2, 50]), rtol=1e-5)


def test_knows_nothing_before_it_has_counted():
    np.testing.assert_allclose(NgramDistribution(**ARGUMENTS)(np.array([[3, 4]])), np.full([1, 2, SIZE], 1 / SIZE))


def test_contexts_grow_token_by_token(layer, documents):
    text = documents[1][None, :20]
    contexts = layer.contexts(text)
    for t in range(1, 20):
        np.testing.assert_array_equal(layer.extended(contexts[:, t - 1], text[:, t]), contexts[:, t])


def test_counts_shorter_ngrams_where_there_is_no_room(documents):
    small, short = NgramDistribution(SIZE, ORDER, 200), NgramDistribution(SIZE, 2, 200)
    for layer in (small, short):
        layer.adapt(documents)
    text = documents[0][None, :30]
    np.testing.assert_allclose(small(text), short(text), rtol=1e-6)


def test_keeps_its_counts_in_files(layer, documents, tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    model, text = keras.Model(inputs, layer(inputs)), documents[0][None, :30]
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(text), layer(text))
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(text), layer(text), rtol=1e-6)
    check_config(NgramDistribution, ARGUMENTS)


def test_refuses_sizes_that_cannot_be(documents):
    for name in ("vocabulary_size", "order", "max_ngrams"):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}=0"):
            NgramDistribution(**{**ARGUMENTS, name: 0})
    with pytest.raises(ValueError, match=r"`max_ngrams` must be at least 12, .* Received: max_ngrams=5"):
        NgramDistribution(SIZE, ORDER, 5).adapt(documents)

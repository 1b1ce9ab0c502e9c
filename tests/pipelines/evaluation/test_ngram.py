import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from ikelos.pipelines.evaluation import ngram

BEGIN, END = 1, 2


def random_documents(generator, vocabulary_size, lengths):
    """Returns documents in which few tokens are frequent, so that some long n-grams repeat and others occur once."""
    weights = 1.0 / np.arange(1, vocabulary_size - 2)
    weights /= weights.sum()
    return [
        np.append(generator.choice(np.arange(3, vocabulary_size), length, p=weights), END).astype(np.int32)
        for length in lengths
    ]


class BruteForce:
    """Interpolated modified Kneser-Ney from its definition, with exact fractions and tuples of tokens."""

    def __init__(self, documents, order, vocabulary_size):
        self.order, self.vocabulary_size = order, vocabulary_size
        padded = [(BEGIN,) * (order - 1) + tuple(int(token) for token in document) for document in documents]
        grams = {
            n: Counter(text[i - n + 1 : i + 1] for text in padded for i in range(order - 1, len(text)))
            for n in range(1, order + 1)
        }
        self.counts = {order: grams[order]}
        for n in range(1, order):
            self.counts[n] = Counter(gram[1:] for gram in grams[n + 1])
        self.discounts = {n: self.estimate(self.counts[n]) for n in self.counts}

    @staticmethod
    def estimate(counts):
        n1, n2, n3, n4 = (sum(count == k for count in counts.values()) for k in (1, 2, 3, 4))
        if n1 and n2 and n3 and n4:
            y = Fraction(n1, n1 + 2 * n2)
            found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            if all(discount > 0 for discount in found):
                return found
        return [Fraction(1, 2), Fraction(1), Fraction(3, 2)]

    def probability(self, context, token, n=None):
        n = self.order if n is None else n
        if n == 0:
            return Fraction(1, self.vocabulary_size)
        context = context[len(context) - (n - 1) :]
        shorter = self.probability(context, token, n - 1)
        followers = {gram[-1]: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        if not followers:
            return shorter
        discount = {follower: self.discounts[n][min(count, 3) - 1] for follower, count in followers.items()}
        own = followers[token] - discount[token] if token in followers else 0
        return (own + sum(discount.values()) * shorter) / sum(followers.values())

    def log_probabilities(self, document):
        text = (BEGIN,) * (self.order - 1) + tuple(int(token) for token in document)
        return [
            math.log(self.probability(text[i - self.order + 1 : i], text[i])) for i in range(self.order - 1, len(text))
        ]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize(("vocabulary_size", "lengths"), [(6, [9, 0, 4]), (40, [150, 97])])
def test_agrees_with_the_definition_in_exact_fractions(order, vocabulary_size, lengths):
    generator = np.random.default_rng(17)
    documents = random_documents(generator, vocabulary_size, lengths)
    model = ngram.fit(documents, order, vocabulary_size)
    expected = BruteForce(documents, order, vocabulary_size)
    unseen = random_documents(generator, vocabulary_size, [23])[0]
    for document in [documents[0], unseen]:
        np.testing.assert_allclose(
            model.log_probabilities(document), expected.log_probabilities(document), rtol=1e-13, atol=1e-14
        )


def test_the_brute_force_cases_reach_both_kinds_of_discounts():
    documents = random_documents(np.random.default_rng(17), 40, [150, 97])
    expected = BruteForce(documents, 2, 40)
    assert expected.discounts[2] != [Fraction(1, 2), Fraction(1), Fraction(3, 2)]
    assert BruteForce(documents[:1], 1, 40).discounts[1] == [Fraction(1, 2), Fraction(1), Fraction(3, 2)]


def test_one_token_by_hand():
    # Four tokens, three of them 5; the discounts are (0.5, 1, 1.5), and the 2 they free are spread evenly.
    model = ngram.fit([np.array([5, 5, 5, END])], order=1, vocabulary_size=8)
    expected = [(3 - 1.5) / 4 + 2 / 4 / 8, (1 - 0.5) / 4 + 2 / 4 / 8, 2 / 4 / 8]
    np.testing.assert_allclose(np.exp(model.log_probabilities(np.array([5, END, 7]))), expected, rtol=1e-14)


@pytest.mark.parametrize("context_length", [0, 1, 2, 5, 11])
def test_probabilities_sum_to_one_over_the_vocabulary(context_length):
    generator = np.random.default_rng(3)
    vocabulary_size = 30
    documents = random_documents(generator, vocabulary_size, [400, 59, 111])
    model = ngram.fit(documents, 6, vocabulary_size)
    seen = documents[0][:context_length]
    unseen = generator.integers(0, vocabulary_size, context_length)
    after_an_end = np.append(documents[1], seen)
    for context in [seen, unseen, after_an_end]:
        last = np.stack(
            [model.log_probabilities_by_order(np.append(context, token))[:, -1] for token in range(vocabulary_size)]
        )
        np.testing.assert_allclose(np.exp(last).sum(axis=0), np.ones(6), rtol=1e-12)


def test_one_fit_gives_the_same_lower_orders_as_fits_of_their_own():
    generator = np.random.default_rng(5)
    documents = random_documents(generator, 20, [300, 97])
    held_out = random_documents(generator, 20, [59])[0]
    model = ngram.fit(documents, 5, 20)
    by_order = model.log_probabilities_by_order(held_out)
    assert by_order.shape == (5, held_out.size)
    assert by_order.dtype == np.float64
    for order in range(1, 6):
        alone = ngram.fit(documents, order, 20)
        np.testing.assert_array_equal(alone.log_probabilities(held_out), by_order[order - 1])
        np.testing.assert_array_equal(model.truncated(order).log_probabilities(held_out), by_order[order - 1])
        assert model.truncated(order).order == order


def test_tokens_depend_on_their_predecessors_only():
    generator = np.random.default_rng(7)
    documents = random_documents(generator, 20, [300])
    model = ngram.fit(documents, 4, 20)
    document = random_documents(generator, 20, [50])[0]
    changed = document.copy()
    changed[30:] = 3
    np.testing.assert_array_equal(model.log_probabilities(document)[:30], model.log_probabilities(changed)[:30])


def test_best_order_is_that_of_the_validation_documents():
    # A cycle of five tokens is predicted by the last one; of random tokens, every context only misleads.
    generator = np.random.default_rng(11)
    cycle = np.append(np.tile([3, 4, 5, 6, 7], 40), END)
    order, costs = ngram.best_order(ngram.fit([cycle], 3, 8), [cycle[:100]])
    assert order >= 2
    assert costs[0] > math.log(4) > costs[1]
    noise = [np.append(generator.integers(3, 40, 500), END) for _ in range(2)]
    order, costs = ngram.best_order(ngram.fit(noise[:1], 3, 40), noise[1:])
    assert order == 1
    assert len(costs) == 3
    assert costs[0] == min(costs)


def test_best_order_weighs_documents_by_their_tokens():
    documents = random_documents(np.random.default_rng(13), 20, [200, 7, 60])
    model = ngram.fit(documents[:1], 2, 20)
    _, costs = ngram.best_order(model, documents[1:])
    together = np.concatenate([model.log_probabilities_by_order(document) for document in documents[1:]], axis=1)
    np.testing.assert_allclose(costs, -together.mean(axis=1), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ngram.fit([np.array([3, 2])], 0, 5), r"`order`.*order=0"),
        (lambda: ngram.fit([], 2, 5), r"`documents`.*Received: none"),
        (lambda: ngram.fit([np.array([3, 5, 2])], 2, 5), r"\[0, 5\).*from 2 to 5"),
        (lambda: ngram.fit([np.array([-1, 2])], 2, 5), r"\[0, 5\).*from -1 to 2"),
        (lambda: ngram.fit([np.array([], np.int32)], 2, 5), r"non-empty.*shape=\(0,\)"),
        (lambda: ngram.fit([np.array([0.5, 2.0])], 2, 5), r"token ids.*float64"),
        (lambda: ngram.fit([np.array([3, 2])], 2, 5).truncated(3), r"between 1 and 2.*order=3"),
        (lambda: ngram.best_order(ngram.fit([np.array([3, 2])], 2, 5), []), r"`validation`.*Received: none"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

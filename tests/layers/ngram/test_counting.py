from collections import Counter

import numpy as np
import pytest

from ikelos.layers.ngram.counting import count

BEGIN = -1
"""Stands before a document as often as it takes."""


def grams(levels, vocabulary_size):
    """Returns the n-grams of each level as tokens, in the order of the level."""
    below, found = [()], []
    for level in levels:
        begin = (BEGIN,) * (len(found))
        contexts = [*below, begin] if found else below
        below = [(*contexts[key // vocabulary_size], key % vocabulary_size) for key in level.keys.tolist()]
        found.append(below)
    return found


@pytest.mark.parametrize(("vocabulary_size", "lengths"), [(4, [9, 1, 4]), (30, [150, 97])])
def test_agrees_with_counters_of_tuples(vocabulary_size, lengths):
    rng, order = np.random.default_rng(5), 4
    documents = [rng.integers(0, vocabulary_size, length) for length in lengths]
    levels = count(documents, order, vocabulary_size)
    padded = [(BEGIN,) * order + tuple(document.tolist()) for document in documents]
    for n, (level, found) in enumerate(zip(levels, grams(levels, vocabulary_size), strict=True), 1):
        expected = Counter(text[i - n + 1 : i + 1] for text in padded for i in range(order, len(text)))
        assert dict(zip(found, level.occurrences.tolist(), strict=True)) == expected
        assert (np.diff(level.keys) > 0).all()
        if n < order:
            longer = {text[i - n : i + 1] for text in padded for i in range(order, len(text))}
            expected = Counter(gram[1:] for gram in longer)
            assert dict(zip(found, level.preceding.tolist(), strict=True)) == expected
    assert levels[-1].preceding is None


def test_leaves_out_the_longest_where_there_are_too_many():
    document = np.arange(20) % 7
    whole = count([document], 3, 7)
    assert [level.keys.size for level in whole] == [7, 8, 9]
    assert [level.keys.size for level in count([document], 3, 7, most=24)] == [7, 8, 9]
    shorter = count([document], 3, 7, most=23)
    assert [level.keys.size for level in shorter] == [7, 8]
    assert shorter[-1].preceding is None
    assert len(count([document], 3, 7, most=1)) == 1


def test_keys_too_large_to_be_packed_are_counted_too():
    tokens = np.random.default_rng(6).integers(0, 40, 500)
    small, large = count([tokens], 3, 40), count([tokens], 3, 1 << 53)
    for a, b in zip(small, large, strict=True):
        np.testing.assert_array_equal(a.occurrences, b.occurrences)
        np.testing.assert_array_equal(a.keys % 40, b.keys % (1 << 53))


@pytest.mark.parametrize(
    ("documents", "order", "message"),
    [
        ([], 2, "`documents` must hold at least one"),
        ([np.array([1, 2])], 0, "`order` must be at least 1. Received: order=0"),
        ([np.array([1, 5])], 2, "must have ids in .0, 5.. Received: ids from 1 to 5"),
        ([np.array([], int)], 2, "non-empty"),
        ([np.array([[1]])], 2, "one-dimensional"),
        ([np.array([1.0])], 2, "dtype=float64"),
    ],
)
def test_refuses_what_it_cannot_count(documents, order, message):
    with pytest.raises(ValueError, match=message):
        count(documents, order, 5)

import numpy as np
import pytest

from ikelos.layers import SuffixCopy
from ikelos.layers.testing import check_layer

ARGUMENTS = {"vocabulary_size": 5, "longest": 3, "window": 9}


@pytest.fixture
def tokens():
    return np.random.default_rng(0).integers(0, 5, [2, 17]).astype("int32")


@pytest.fixture
def layer():
    layer = SuffixCopy(**ARGUMENTS)
    layer.build()
    layer.log_weights.assign([-1.0, 0.5, 2.0])
    return layer


def by_hand(text, t):
    """Counts the votes of every earlier place one by one."""
    votes, longest = np.zeros(5), 0
    for s in range(max(0, t - 8), t):
        match = 0
        while match < 3 and match <= s and text[s - match] == text[t - match]:
            match += 1
        if match:
            votes[text[s + 1]] += np.exp([-1.0, 0.5, 2.0][match - 1])
        longest = max(longest, match)
    return votes / (1 + votes.sum()), longest


def test_keeps_a_layers_promises(tokens):
    check_layer(SuffixCopy, ARGUMENTS, tokens, output_dtype="float32")


def test_counts_the_votes_of_earlier_places(layer, tokens):
    found, longest = layer.evidence(tokens)
    for row, text in enumerate(tokens):
        for t in range(17):
            wanted, match = by_hand(text, t)
            np.testing.assert_allclose(found[row, t], wanted, atol=1e-6)
            assert longest[row, t] == match


def test_reads_token_by_token_as_at_once(layer, tokens):
    whole, longest = layer.evidence(tokens)
    lengths = np.array([8, 1], "int32")
    prompts = np.where(np.arange(8) < lengths[:, None], tokens[:, :8], 4)
    state = layer.start(prompts, lengths, capacity=16)
    for step in range(8):
        at = lengths + step
        (found, match), state = layer.advance(tokens[[0, 1], at], state)
        np.testing.assert_allclose(found[:, 0], whole.numpy()[[0, 1], at], atol=1e-6)
        np.testing.assert_array_equal(match[:, 0], longest.numpy()[[0, 1], at])


def test_predicts_nothing_without_a_repetition(layer):
    np.testing.assert_array_equal(layer(np.array([[0, 1, 2, 3, 4]])), np.zeros([1, 5, 5]))


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_refuses_sizes_that_cannot_be(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}=0"):
        SuffixCopy(**{**ARGUMENTS, name: 0})

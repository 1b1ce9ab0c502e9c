import numpy as np
import pytest
from hypothesis import given, strategies

from ikelos.layers import decoding
from ikelos.serving.client.sampling import Sampling

LOGITS = np.random.default_rng(1).normal(size=(8, 97)).astype(np.float32) * 3
LOGITS[0, :] = 0  # all as likely
LOGITS[1, 5:] = np.finfo(np.float32).min  # tokens that stand for no text
LOGITS[2, [3, 9]] = 50


@pytest.mark.parametrize("temperature", [0.0, 1e-39, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("top_k", [0, 1, 5, 1000])
@pytest.mark.parametrize("top_p", [1.0, 0.7, 1e-3])
def test_the_choice_is_that_of_the_graph(temperature, top_k, top_p):
    uniforms = np.linspace(0, 0.999, len(LOGITS)).astype(np.float32)
    expected = decoding.sample(LOGITS, uniforms, temperature, top_k, top_p).numpy()
    choice = Sampling(temperature, top_k, top_p)
    found = [choice.choose(row, float(uniform)) for row, uniform in zip(LOGITS, uniforms, strict=True)]
    assert found == expected.tolist()


def test_the_likeliest_token_is_that_of_greedy_decoding():
    expected = decoding.greedy(LOGITS, 0, None).numpy()
    assert [Sampling().choose(row, 0.9) for row in LOGITS] == expected.tolist()


def test_frequencies_are_the_probabilities():
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    draws = [Sampling(temperature=1.0).choose(logits, uniform) for uniform in (np.arange(1000) + 0.5) / 1000]
    assert np.bincount(draws).tolist() == [500, 300, 200]


@given(strategies.lists(strategies.floats(-(2**99), 2**99, width=32), min_size=1), strategies.floats(0, 0.999))
def test_any_logits_give_a_token(logits, uniform):
    for choice in (Sampling(), Sampling(1.0), Sampling(1e-30), Sampling(1e30, 2, 0.5)):
        assert 0 <= choice.choose(np.array(logits, np.float32), uniform) < len(logits)

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import NgramMixture
from ikelos.layers.testing import check_config

ARGUMENTS = {"vocabulary_size": 6, "size": 8, "order": 3, "max_ngrams": 300, "longest_match": 4, "window": 16}


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(1).integers(0, 6, [2, 20]).astype("int32")


@pytest.fixture(scope="module")
def mixture(tokens):
    mixture = NgramMixture(**ARGUMENTS)
    mixture.adapt([*np.random.default_rng(2).integers(0, 6, [3, 40]), *tokens])
    return mixture


def test_config():
    check_config(NgramMixture, ARGUMENTS)


def test_is_the_weighted_mean_of_what_each_predicts(mixture, tokens):
    rng = np.random.default_rng(3)
    logits, hidden = rng.normal(size=[2, 20, 6]).astype("float32"), rng.normal(size=[2, 20, 8]).astype("float32")
    kernel = rng.normal(size=[8, 4]).astype("float32")
    mixture.gates.kernel.assign(kernel)
    evidence = mixture.evidence(tokens)
    ngrams, copies = evidence.ngrams.numpy(), evidence.copies.numpy()
    np.testing.assert_array_equal(ngrams, mixture.ngrams(tokens))
    np.testing.assert_array_equal(copies, mixture.copies(tokens))
    gates = hidden.astype("float64") @ kernel
    corrected = np.exp(logits) * ngrams ** (1 + gates[..., :1])
    weights = np.exp(gates[..., 1:] + [1, 0, -1])
    network, counted, copied = np.split(weights / weights.sum(-1, keepdims=True), 3, axis=-1)
    wanted = network * corrected / corrected.sum(-1, keepdims=True)
    wanted += counted * ngrams + copied * (copies + (1 - copies.sum(-1, keepdims=True)) * ngrams)
    found = np.exp(mixture.mix(logits, hidden, evidence))
    np.testing.assert_allclose(found, wanted, rtol=2e-4)
    np.testing.assert_allclose(found.sum(-1), np.ones([2, 20]), rtol=1e-5)


def test_no_gradient_moves_the_counts(mixture, tokens):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(mixture(tokens, training=True) ** 2)
    assert {variable.name for variable in mixture.trainable_variables} == {"kernel", "bias", "log_weights"}
    found = dict(
        zip(
            [v.path for v in mixture.trainable_variables], tape.gradient(loss, mixture.trainable_variables), strict=True
        )
    )
    assert {path.split("/", 1)[1] for path, gradient in found.items() if gradient is not None} == {
        "embedding/kernel",
        "copies/log_weights",
    }


def test_reads_token_by_token_as_at_once(mixture, tokens):
    whole = mixture.evidence(tokens)
    lengths = np.array([9, 2], "int32")
    state = mixture.start(tokens[:, :9], lengths, capacity=15)
    for step in range(6):
        at = lengths + step
        evidence, state = mixture.advance(tokens[[0, 1], at], state)
        for found, wanted in zip(evidence, whole, strict=True):
            np.testing.assert_allclose(found[:, 0], wanted.numpy()[[0, 1], at], atol=1e-6)

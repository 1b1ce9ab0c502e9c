import numpy as np
import pytest

from ikelos.layers import TransformerLanguageModel
from ikelos.layers.testing import check_layer

ARGUMENTS = {
    "vocabulary_size": 30,
    "context": 5,
    "num_layers": 2,
    "size": 16,
    "num_heads": 4,
    "hidden_size": 24,
    "num_key_value_heads": 2,
    "dropout": 0.1,
    "ngram_orders": (2, 4),
    "ngram_buckets": 32,
}


def test_keeps_a_layers_promises(tokens):
    check_layer(TransformerLanguageModel, ARGUMENTS, tokens, output_dtype="float32")


@pytest.mark.parametrize(
    ("context", "key_heads", "ngram_orders"),
    [
        (5, None, (2, 4)),
        (64, 1, ()),
        pytest.param(64, None, (2, 4), marks=pytest.mark.slow),
        pytest.param(5, 1, (), marks=pytest.mark.slow),
    ],
)
def test_decoding_equals_one_call(scattered, check_decoding, context, key_heads, ngram_orders):
    arguments = {**ARGUMENTS, "context": context, "num_key_value_heads": key_heads, "ngram_orders": ngram_orders}
    check_decoding(scattered(TransformerLanguageModel(**arguments)))


def test_remembers_the_tokens_that_its_ngrams_need(tokens):
    for orders, number in (((2, 4), 3), ((), 0)):
        model = TransformerLanguageModel(**{**ARGUMENTS, "ngram_orders": orders})
        _, (_, recent) = model.start(tokens, np.full(3, 14, "int32"), capacity=14)
        assert recent.shape == (3, number)


def test_sees_the_past_within_the_context_alone(scattered, tokens):
    # Without n-grams, which see further back than one block does.
    model = scattered(TransformerLanguageModel(**{**ARGUMENTS, "num_layers": 1, "ngram_orders": ()}))
    before = model(tokens).numpy()
    tokens[:, 4] = (tokens[:, 4] + 1) % 30
    changed = np.abs(model(tokens).numpy() - before).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(np.flatnonzero(changed), range(4, 4 + ARGUMENTS["context"]))


def test_weights_start_as_in_gpt2():
    model = TransformerLanguageModel(500, context=8, num_layers=8, size=64, num_heads=4, hidden_size=96)
    model.build([None, 8])
    for weight in model.trainable_variables:
        expected = 0.02
        if weight.path.endswith(("output/kernel", "down/kernel")):
            expected = 0.02 / 4  # two branches in each of eight blocks: the root of 16
        if weight.name == "scale":
            np.testing.assert_array_equal(weight, np.ones(64))
        else:
            # The deviation of n draws is off by about 1 / sqrt(2 n), n at least 4096.
            assert np.std(weight) == pytest.approx(expected, rel=0.05)
            assert np.mean(weight) == pytest.approx(0, abs=0.1 * expected)
    starts = [block.attention.query.kernel.numpy() for block in model.blocks]
    assert np.abs(starts[0] - starts[1]).max() > 0.01


def test_policy_reaches_all_parts(check_propagates_policy):
    check_propagates_policy(TransformerLanguageModel(**ARGUMENTS, dtype="mixed_bfloat16"))


def test_decoding_builds_the_model(tokens):
    model = TransformerLanguageModel(**ARGUMENTS)
    lengths = np.full(3, tokens.shape[1], "int32")
    logits, _ = model.start(tokens, lengths, capacity=tokens.shape[1])
    assert model.built
    np.testing.assert_allclose(logits, model(tokens)[:, -1], rtol=0, atol=1e-5)

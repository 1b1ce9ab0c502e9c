import keras
import numpy as np
import pytest
import tensorflow as tf

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
}
NGRAMS = {"ngram_order": 4, "max_ngrams": 900, "longest_match": 3}


@pytest.fixture
def counting(scattered):
    """Returns a function that makes a model with n-grams of some text."""

    def make(**arguments):
        model = scattered(TransformerLanguageModel(**{**ARGUMENTS, **NGRAMS, **arguments}))
        model.adapt(np.random.default_rng(2).integers(0, 30, [4, 50]))
        return model

    return make


def test_keeps_a_layers_promises(tokens):
    check_layer(TransformerLanguageModel, ARGUMENTS, tokens, config_kwargs=NGRAMS, output_dtype="float32")


@pytest.mark.parametrize(("context", "key_heads"), [(5, None), (64, 1), pytest.param(5, 1, marks=pytest.mark.slow)])
def test_decoding_equals_one_call(scattered, check_decoding, context, key_heads):
    arguments = {**ARGUMENTS, "context": context, "num_key_value_heads": key_heads}
    check_decoding(scattered(TransformerLanguageModel(**arguments)))


@pytest.mark.parametrize("context", [5, 64])
def test_decoding_with_ngrams_equals_one_call(counting, check_decoding, context):
    check_decoding(counting(context=context))


def test_with_ngrams_gives_log_probabilities(counting, tokens):
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(counting()(tokens)), axis=-1), np.ones([3, 14]), rtol=1e-5)


def test_ngrams_leave_out_what_they_predict_in_training(counting, tokens):
    model = counting(dropout=0.0)
    model.adapt(tokens)
    evaluated, trained = model(tokens), model(tokens, training=True)
    for row, (seen, left_out) in enumerate(zip(evaluated.numpy(), trained.numpy(), strict=True)):
        next_tokens = tokens[row, 1:]
        assert seen[np.arange(13), next_tokens].mean() > left_out[np.arange(13), next_tokens].mean() + 0.5


def test_files_keep_the_counts(counting, tokens, tmp_path):
    model = counting()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(tokens), model(tokens))


def test_a_transformer_alone_has_nothing_to_count():
    with pytest.raises(ValueError, match=r"`ngram_order` must be at least 1 .* Received: ngram_order=0"):
        TransformerLanguageModel(**ARGUMENTS).adapt([np.array([1, 2])])


def test_sees_the_past_within_the_context_alone(scattered, tokens):
    model = scattered(TransformerLanguageModel(**{**ARGUMENTS, "num_layers": 1}))
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
    # With n-grams too, the probabilities are float32, and the Transformer is not.
    model = TransformerLanguageModel(**ARGUMENTS, **NGRAMS, dtype="mixed_bfloat16")
    assert model(np.zeros([2, 3], "int32")).dtype == tf.float32
    assert model.mixture.input_embedding.compute_dtype == "bfloat16"


def test_decoding_builds_the_model(tokens):
    model = TransformerLanguageModel(**ARGUMENTS)
    lengths = np.full(3, tokens.shape[1], "int32")
    logits, _ = model.start(tokens, lengths, capacity=tokens.shape[1])
    assert model.built
    np.testing.assert_allclose(logits, model(tokens)[:, -1], rtol=0, atol=1e-5)

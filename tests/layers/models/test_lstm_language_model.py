import numpy as np

from ikelos.layers import LSTMLanguageModel
from ikelos.layers.testing import check_layer

ARGUMENTS = {"vocabulary_size": 30, "context": 5, "num_layers": 2, "size": 12, "dropout": 0.1}


def test_keeps_a_layers_promises(tokens):
    check_layer(LSTMLanguageModel, ARGUMENTS, tokens, output_dtype="float32")


def test_decoding_equals_one_call(scattered, check_decoding):
    check_decoding(scattered(LSTMLanguageModel(**ARGUMENTS)))


def test_the_future_does_not_change_the_past(scattered, tokens):
    model = scattered(LSTMLanguageModel(**ARGUMENTS))
    before = model(tokens).numpy()
    tokens[:, 4] = (tokens[:, 4] + 1) % 30
    changed = np.abs(model(tokens).numpy() - before).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(np.flatnonzero(changed), range(4, tokens.shape[1]))


def test_dropout_is_for_training_alone(scattered, tokens):
    model = scattered(LSTMLanguageModel(**{**ARGUMENTS, "dropout": 0.5}))
    np.testing.assert_array_equal(model(tokens), model(tokens, training=False))
    assert np.abs(model(tokens, training=True) - model(tokens)).max() > 0.01


def test_policy_reaches_all_parts(check_propagates_policy):
    check_propagates_policy(LSTMLanguageModel(**ARGUMENTS, dtype="mixed_bfloat16"))


def test_a_new_model_may_decode_first(tokens):
    model = LSTMLanguageModel(30, context=8, num_layers=1, size=4)
    logits, _ = model.start(tokens, np.full([len(tokens)], tokens.shape[1], "int32"))
    np.testing.assert_allclose(model(tokens)[:, -1], logits, atol=1e-5)

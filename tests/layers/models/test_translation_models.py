"""Both translation models: what users expect of a Keras model, and decoding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LSTMTranslationModel, TransformerTranslationModel
from ikelos.layers.decoding import beam_search, generate, greedy

MODELS = [
    (TransformerTranslationModel, {"hidden_size": 24, "num_key_value_heads": 2, "num_heads": 4}),
    (LSTMTranslationModel, {"num_heads": 2}),
]
SHARED = {"vocabulary_size": 30, "num_layers": 2, "size": 16, "dropout": 0.1, "padding_id": 0}
BEGIN, END = 1, 2


@pytest.fixture(params=MODELS, ids=["transformer", "lstm"])
def model(request, scattered):
    model_class, own = request.param
    return scattered(model_class(**SHARED, **own))


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    source, target = (rng.integers(3, 30, [3, length]).astype("int32") for length in (9, 7))
    source[1, 4:] = 0
    return {"source": source, "target": target}


def test_a_config_and_a_file_restore_it(model, pair, saved_again):
    config = model.get_config()
    assert {**SHARED, **config} == config
    assert type(model).from_config(config).get_config() == config
    np.testing.assert_array_equal(saved_again(model)(pair), model(pair))


@pytest.fixture
def saved_again(tmp_path):
    def save(model):
        model.save(tmp_path / "model.keras")
        return keras.saving.load_model(tmp_path / "model.keras")

    return save


def test_every_weight_learns(model, pair):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(pair, training=True) ** 2)
    for gradient, weight in zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True):
        assert np.isfinite(tf.convert_to_tensor(gradient)).all(), weight.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, weight.path


def test_xla_computes_the_same(model, pair):
    compiled = tf.function(lambda inputs: model(inputs), jit_compile=True)
    np.testing.assert_allclose(compiled(pair), model(pair), atol=1e-4)


@pytest.mark.parametrize(("model_class", "own"), MODELS, ids=["transformer", "lstm"])
def test_logits_are_float32_in_mixed_precision(model_class, own, pair):
    model = model_class(**SHARED, **own, dtype="mixed_bfloat16")
    logits = model(pair)
    assert logits.dtype == tf.float32
    assert logits.shape == model.compute_output_shape({name: x.shape for name, x in pair.items()}) == (3, 7, 30)
    assert {layer.compute_dtype for layer in model._flatten_layers(include_self=False)} == {"bfloat16"}


def test_padding_of_the_source_and_later_target_tokens_change_nothing(model, pair):
    before = model(pair).numpy()
    longer = np.pad(pair["source"], [(0, 0), (0, 5)])
    np.testing.assert_allclose(model({**pair, "source": longer}), before, atol=1e-5)
    target = pair["target"].copy()
    target[:, 4] = 3 + (target[:, 4] - 2) % 27
    changed = np.abs(model({**pair, "target": target}).numpy() - before).max(axis=(0, 2)) > 1e-6
    np.testing.assert_array_equal(changed, np.arange(7) >= 4)


def test_every_source_token_counts(model, pair):
    before = model(pair).numpy()
    for place in range(9):
        source = pair["source"].copy()
        source[:, place] = np.where(source[:, place], 3 + (source[:, place] - 2) % 27, 0)
        changed = np.abs(model({**pair, "source": source}).numpy() - before).max(axis=(1, 2)) > 1e-6
        np.testing.assert_array_equal(changed, [True, place < 4, True])


def test_decoding_equals_one_call(model, pair):
    whole, lengths = model(pair).numpy(), np.array([3, 1, 2], "int32")
    bound = model.conditioned_on(tf.constant(pair["source"]))
    prompts = np.where(np.arange(3) < lengths[:, None], pair["target"][:, :3], 0)
    logits, state = bound.start(tf.constant(prompts), tf.constant(lengths), 7)
    rows = np.arange(3)
    for step in range(3):
        np.testing.assert_allclose(logits, whole[rows, lengths + step - 1], atol=2e-5)
        logits, state = bound.advance(tf.constant(pair["target"][rows, lengths + step]), state)
    np.testing.assert_allclose(logits, whole[rows, lengths + 2], atol=2e-5)


def test_attention_weights_are_shares_of_the_source_without_padding(model, pair):
    weights = model.attention_weights(pair).numpy()
    assert weights.shape == (3, len(getattr(model, "encoder", [None])), model.num_heads, 7, 9)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert (weights[1, ..., 4:] == 0).all()
    assert (weights[0] > 0).all()


def test_a_beam_of_one_is_greedy_and_a_wider_one_is_no_less_likely(model, pair):
    @tf.function
    def both(source):
        bound = model.conditioned_on(source)
        arguments = bound, tf.fill([3, 1], BEGIN), tf.ones([3], tf.int32), tf.fill([3], 6)
        return generate(*arguments, greedy, END), [beam_search(*arguments, beams, END) for beams in (1, 4)]

    best, ((tokens, scores), (_, wider)) = both(tf.constant(pair["source"]))
    np.testing.assert_array_equal(tokens[:, 0], best)
    assert (wider[:, 0] >= scores[:, 0] - 1e-5).numpy().all()


def test_the_lstms_need_an_even_size():
    with pytest.raises(ValueError, match=r"`size` must be even. Received: size=15"):
        LSTMTranslationModel(30, 1, 15, 1)

import keras
import pytest
import tensorflow as tf

from ikelos.layers import TransformerTranslationModel
from ikelos.pipelines.text.translating import translate


@pytest.fixture(scope="module")
def translated(words):
    keras.utils.set_random_seed(0)
    model = TransformerTranslationModel(words.size, num_layers=1, size=8, num_heads=2, hidden_size=8)
    model.build()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def run(text):
        return translate(model, words, text, max_source=12, max_length=20, num_beams=3, length_penalty=0.6)

    return run


def test_rows_are_independent_and_texts_stripped(translated):
    together = translated(tf.constant(["abc", "", "jihgfedcba", " abc  "]))
    assert together["translation"][1] == b""
    assert together["translation"][3] == together["translation"][0]
    for row, text in enumerate(["abc", "", "jihgfedcba"]):
        alone = translated(tf.constant([text]))
        assert alone["translation"][0] == together["translation"][row]
        assert float(alone["log_probability"][0]) == pytest.approx(float(together["log_probability"][row]), abs=1e-4)


def test_a_long_text_is_refused_and_a_translation_bounded(translated):
    with pytest.raises(tf.errors.InvalidArgumentError, match="`text` must have at most 12 tokens"):
        translated(tf.constant(["ab", "a" * 13]))
    found = translated(tf.constant(["a", "a" * 12]))["translation"].numpy()
    assert len(found[0]) <= 12
    assert len(found[1]) <= 20


def test_no_text_has_no_translation(translated):
    assert translated(tf.constant([], tf.string))["translation"].shape == (0,)

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.pipelines.text import stepwise
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD, UNKNOWN

CONTEXT, LONGEST = 6, 9
PROMPTS = ["abc", "", "abcdefgh"]  # the last is longer than the context


@pytest.fixture(params=["transformer", "ngrams", "lstm"])
def served(request, words):
    """Returns the signatures' functions by name."""
    keras.utils.set_random_seed(2)
    if request.param == "lstm":
        model = LSTMLanguageModel(words.size, CONTEXT, num_layers=2, size=8)
        model.build((None, CONTEXT))
    else:
        order = 3 if request.param == "ngrams" else 0
        model = TransformerLanguageModel(
            words.size, CONTEXT, num_layers=2, size=8, num_heads=2, hidden_size=8, ngram_order=order, max_ngrams=200
        )
        model.build((None, CONTEXT))
        if order:
            model.adapt([words.tokens("abc def abc fed abd")])
    return {signature.name: signature for signature in stepwise.signatures(words, model, LONGEST, 100, "abc def")}


def state_of(outputs):
    return {name: value for name, value in outputs.items() if name != "logits"}


def test_a_step_equals_a_longer_prompt(served, words):
    after = served["prefill"](prompt=tf.constant(["ab", "c", ""]))
    found = served["decode_step"](token=tf.constant(words.tokens("dea")), **state_of(after))
    expected = served["prefill"](prompt=tf.constant(["abd", "ce", "a"]))
    for name, value in expected.items():
        if name in ("keys", "values", "tokens", "matches"):  # beyond a row's length is padding
            used = tf.sequence_mask(expected["length"]).numpy()
            np.testing.assert_allclose(found[name].numpy()[used], value.numpy()[used], rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def test_rows_depend_on_nothing_but_themselves(served):
    together = served["prefill"](prompt=tf.constant(PROMPTS))
    step = served["decode_step"](token=tf.constant([5, 6, 7]), **state_of(together))
    for row, prompt in enumerate(PROMPTS):
        alone = served["prefill"](prompt=tf.constant([prompt]))
        np.testing.assert_allclose(alone["logits"][0], together["logits"][row], rtol=1e-5, atol=1e-6)
        alone = served["decode_step"](token=tf.constant([5 + row]), **state_of(alone))
        np.testing.assert_allclose(alone["logits"][0], step["logits"][row], rtol=1e-5, atol=1e-6)


def test_tokens_without_text_are_never_the_likeliest(served):
    logits = served["prefill"](prompt=tf.constant(PROMPTS))["logits"].numpy()
    assert (logits[:, [PAD, BEGIN, UNKNOWN]] == np.finfo(np.float32).min).all()
    assert (logits[:, END] > -1e9).all()


def test_the_examples_fit_the_inputs(served):
    for signature in served.values():
        arrays = signature.example_arrays()
        inputs = {name: tf.constant(array, signature.inputs[name].dtype) for name, array in arrays.items()}
        assert all(len(value) == 2 for value in signature(**inputs).values())


def test_a_state_that_does_not_fit_together_is_refused(served):
    state = state_of(served["prefill"](prompt=tf.constant(["ab"])))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`token` must be between 0 and 14"):
        served["decode_step"](token=tf.constant([15]), **state)
    if "length" in state:
        with pytest.raises(tf.errors.InvalidArgumentError, match="`length` must be from 1 to the positions of `keys`"):
            served["decode_step"](token=tf.constant([5]), **state | {"length": tf.constant([9])})
    if "tokens" in state:
        with pytest.raises(tf.errors.InvalidArgumentError, match="`tokens` must have as many positions as `keys`"):
            served["decode_step"](token=tf.constant([5]), **state | {"tokens": state["tokens"][:, 1:]})

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LSTMLanguageModel
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.evaluation import likelihood
from ikelos.pipelines.text import signatures, windows

STRIDE, LONGEST = 4, 24
LIMITS = (100, 2, 8)
"""Bytes of a prompt, stop strings, bytes of a stop string."""


@pytest.fixture(scope="module")
def score(words, model):
    return signatures.score("score", words, model, STRIDE, 100, "abc")


def test_served_likelihood_is_that_of_evaluation(words, model, score):
    text = "abc defghij abc \u00e9"
    tokens = words.encode(tf.constant([text]))[0].numpy()
    dataset = windows.strided(Ragged.of([tokens]), model.context, STRIDE, 3)
    nll = np.concatenate(list(likelihood.token_nll(model, dataset, len(tokens))))
    outputs = score(text=tf.constant([text, ""]))
    np.testing.assert_allclose(outputs["log_likelihood"], [-(nll.sum() + words.unknown_cost), 0], rtol=1e-5)
    probabilities = np.exp(outputs["next_token_log_probabilities"])
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)


def test_top_tokens_are_the_likeliest_texts(words, score):
    outputs = score(text=tf.constant(["abc", ""]))
    for row in range(2):
        ids = words.encode(outputs["top_tokens"][row]).to_tensor()[:, 0]
        np.testing.assert_allclose(
            tf.gather(outputs["next_token_log_probabilities"][row], ids), outputs["top_log_probabilities"][row]
        )
        assert (np.diff(outputs["top_log_probabilities"][row]) <= 0).all()
        assert len(set(ids.numpy())) == 10


@pytest.fixture(scope="module", params=["transformer", "lstm"])
def generate(request, words, model):
    if request.param == "lstm":
        model = LSTMLanguageModel(words.size, 16, num_layers=1, size=16, dropout=0.0)
        model.build((None, 16))
    return signatures.generate("generate", words, model, LONGEST, *LIMITS, "abc")


def test_a_row_depends_on_nothing_but_itself(generate):
    write = tf.function(lambda **inputs: generate(**inputs))
    rows = {
        "prompt": ["", "abc def abc def abc", "a", "abc "],
        "length": [20, 7, 1, 24],
        "temperature": [1.0, 0.0, 0.7, 2.0],
        "top_k": [0, 0, 3, 5],
        "top_p": [1.0, 1.0, 0.5, 0.9],
        "seed": [1, 2, 3, 2**40],
        "stop": [["d", "ab"], ["", ""], ["a", ""], ["", "g"]],
    }

    def call(keep):
        inputs = {name: [row[i] for i in keep] for name, row in rows.items()}
        given = {name: tf.constant(values, generate.inputs[name].dtype) for name, values in inputs.items()}
        return write(**given)["text"].numpy()

    together = call(range(4))
    assert [call([i])[0] for i in range(4)] == list(together)
    assert len(together[2]) <= 1
    assert len(together[0]) <= 20
    assert list(call([3, 1, 2, 0])) == [together[i] for i in (3, 1, 2, 0)]


@pytest.mark.parametrize(
    ("name", "value", "limits"),
    [
        ("length", 25, "1 and 24"),
        ("length", 0, "1 and 24"),
        ("length", -1, "1 and 24"),
        ("temperature", -0.5, r"0 and 3.40282e\+38"),
        ("temperature", float("inf"), r"0 and 3.40282e\+38"),
        ("temperature", float("nan"), r"0 and 3.40282e\+38"),
        ("top_k", -1, "0 and 15"),
        ("top_k", 16, "0 and 15"),
        ("top_p", 0.0, "1e-06 and 1"),
        ("top_p", 1.5, "1e-06 and 1"),
    ],
)
def test_a_number_out_of_range_is_named(words, model, name, value, limits):
    signature = signatures.generate("generate", words, model, LONGEST, *LIMITS, "abc")
    row = {key: values[:1] for key, values in signature.example.items()} | {name: [value]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}` must be between {limits}. Received"):
        signature(**{key: tf.constant(v, signature.inputs[key].dtype) for key, v in row.items()})


def test_the_example_keeps_to_the_longest_length(words, model):
    assert signatures.generate("generate", words, model, 5, *LIMITS, "abc").example["length"] == [5, 2]

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import ReplyRanker, TransformerLanguageModel
from ikelos.pipelines.text import replying, vocabulary
from ikelos.pipelines.text.turn_encoding import vocabulary_size
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, SPECIAL


def make(characters):
    """Returns untrained models of turns, whose weights are large, and their vocabulary."""
    words = vocabulary.fit("character", [characters], None)
    size = vocabulary_size(words)
    model = TransformerLanguageModel(size, context=24, num_layers=1, size=8, num_heads=2, hidden_size=8)
    ranker = ReplyRanker(size, words.size, BEGIN, END, SPECIAL, size=8, hidden_size=8)
    rng = np.random.default_rng(0)
    for network in (model, ranker):
        network.build((None, 24))
        for weight in network.trainable_variables:
            weight.assign(weight + rng.normal(size=weight.shape, scale=0.5))
    return model, ranker, words


@pytest.fixture(scope="module")
def parts():
    return make("hellothere,you!")


def reply(parts, history, temperature, seed, top_p=1.0, num_samples=3):
    count = len(history)
    found = replying.reply(
        *parts,
        tf.constant(history),
        tf.constant(temperature, tf.float32),
        tf.fill([count], top_p),
        tf.constant(seed, tf.int64),
        max_length=10,
        num_samples=num_samples,
    )
    return [text.decode() for text in found["reply"].numpy()], found["score"].numpy()


def test_a_reply_depends_on_its_own_row_alone(parts):
    history, temperature, seed = (
        ["hello\nyou", "", "there! you hello there\nhello, hello\n" * 3],
        [0.9, 0.0, 1.2],
        [7, 1, 7],
    )
    texts, scores = reply(parts, history, temperature, seed)
    for row in range(3):
        alone, score = reply(parts, history[row : row + 1], temperature[row : row + 1], seed[row : row + 1])
        assert alone == texts[row : row + 1]
        np.testing.assert_allclose(score, scores[row : row + 1], rtol=1e-4)
    assert reply(parts, ["hello"], [0.9], [1])[0] != reply(parts, ["hello"], [0.9], [2])[0]


def test_replies_are_one_line_of_text():
    texts, _ = reply(make("ab \n"), ["ab"] * 24, [3.0] * 24, range(24), num_samples=1)
    assert all(0 <= len(text) <= 10 and "\n" not in text and text == text.strip() for text in texts)
    assert sum(map(bool, texts)) > 12


def test_samples_of_white_space_alone_lose(monkeypatch):
    parts = make("ab ")
    monkeypatch.setattr(replying, "_scores", lambda *_: tf.constant([[0.0, 3.0, 1.0], [2.0, 4.0, 3.0]]))
    monkeypatch.setattr(replying, "generate", lambda *_: tf.constant([[a], [space], [a], [space], [space], [space]]))
    a, space = (int(parts[2].tokens(text)[0]) for text in "a ")
    texts, scores = reply(parts, ["ab", "b"], [1.0, 1.0], [0, 1])
    assert texts == ["a", ""]
    assert scores.tolist() == [1, 4]


def test_the_best_of_the_samples_is_returned(parts):
    _, ranker, words = parts
    text, score = reply(parts, ["hello"], [1.0], [3], num_samples=6)
    found = replying.rank(ranker, words, tf.constant(["hello"]), tf.constant([text]), 24)
    np.testing.assert_allclose(found[0], score, rtol=1e-4, atol=1e-4)
    assert score >= reply(parts, ["hello"], [1.0], [3], num_samples=1)[1]


def test_ranks_are_scores_of_each_row(parts):
    _, ranker, words = parts
    history, replies = tf.constant(["hello\nyou", "there"]), tf.constant([["you", "hello there"], ["!", "you"]])
    both = replying.rank(ranker, words, history, replies, 24)
    assert both.shape == (2, 2)
    np.testing.assert_allclose(replying.rank(ranker, words, history[1:], replies[1:, :1], 24), both[1:, :1], rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"temperature": [-1.0]}, "`temperature` must be between 0 and"),
        ({"top_p": [0.0]}, "`top_p` must be between 1e-06 and 1"),
        ({"history": ["h" * 41]}, "The bytes of `history` must be between 0 and 40. Received:"),
    ],
)
def test_what_is_out_of_range_is_named(parts, changes, says):
    signature = replying.reply_signature(*parts, 10, 2, 40, ("hello", 0.8, 0.9))
    values = {"history": ["hello"], "temperature": [1.0], "top_p": [1.0], "seed": [0]} | changes
    inputs = {name: tf.constant(value, signature.inputs[name].dtype) for name, value in values.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=says):
        signature(**inputs)


def test_too_many_replies_are_refused(parts):
    _, ranker, words = parts
    signature = replying.rank_signature(ranker, words, 24, 2, 40, "hello")
    with pytest.raises(tf.errors.InvalidArgumentError, match="The positions of `replies` must be between 0 and 2"):
        signature(history=tf.constant(["hello"]), replies=tf.constant([["a", "b", "c"]]))

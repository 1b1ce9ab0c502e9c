import collections

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.text.decoding import continue_text, prompt_tokens
from ikelos.pipelines.text.vocabulary.special import BEGIN, PAD

CONTEXT, LONGEST = 8, 12
ROW = {"length": 6, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 3}
DTYPES = {"length": tf.int32, "temperature": tf.float32, "top_k": tf.int32, "top_p": tf.float32, "seed": tf.int64}


@pytest.fixture(scope="session")
def vocabulary(words):
    return words


@pytest.fixture(scope="module")
def write(model, vocabulary):
    function = tf.function(continue_text)

    def write(*prompts, **changes):
        row = {name: tf.broadcast_to(tf.cast(v, DTYPES[name]), [len(prompts)]) for name, v in (ROW | changes).items()}
        return function(model, vocabulary, LONGEST, tf.constant(prompts, tf.string), **row).numpy().tolist()

    return write


def ids(vocabulary, text):
    return [BEGIN, *vocabulary.encode(tf.constant([text])).numpy()[0]]


def test_prompts_keep_what_fits_the_context(vocabulary):
    tokens, lengths = prompt_tokens(vocabulary, tf.constant(["abcdefghij", "abcdefg", "ab", ""]), CONTEXT)
    assert lengths.numpy().tolist() == [8, 8, 3, 1]
    expected = [ids(vocabulary, text) for text in ("defghij", "abcdefg", "ab", "")]
    np.testing.assert_array_equal(tokens, [row + [PAD] * (8 - len(row)) for row in expected])


def test_a_context_of_one_token_holds_no_prompt(vocabulary):
    tokens, lengths = prompt_tokens(vocabulary, tf.constant(["abc", ""]), 1)
    assert (tokens.numpy().tolist(), lengths.numpy().tolist()) == ([[BEGIN], [BEGIN]], [1, 1])


def test_only_the_end_of_a_long_prompt_counts(write):
    assert write("aaaabcdefgh") == write("jjjjbcdefgh") == write("bcdefgh")
    assert write("bcdefgh") != write("bcdefga")


def test_empty_prompts_begin_a_text(write):
    texts = write("", "", "ab")
    assert texts[0] == texts[1] == write("")[0]
    assert all(set(text.decode()) <= set("abcdefghij") and len(text) <= ROW["length"] for text in texts)
    assert any(texts)
    assert write("", length=0) == [b""]


def test_the_highest_temperature_is_a_uniform_draw(write):
    texts = write(*["a"] * 1200, temperature=tf.float32.max, length=1, seed=range(1200))
    counts = collections.Counter(texts)
    assert set(counts) == {b"", *(letter.encode() for letter in "abcdefghij ")}
    assert max(abs(count - 100) for count in counts.values()) < 50

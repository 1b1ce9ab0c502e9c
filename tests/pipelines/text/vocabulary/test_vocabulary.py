"""Tests that hold for all kinds of vocabularies."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text import vocabulary
from ikelos.pipelines.text.vocabulary import special

TEXTS = [
    "To be, or not to be: that is the question.\n  Whether 'tis nobler in the mind to suffer\n\n",
    "The slings and arrows of outrageous fortune,\tor to take arms against a sea of troubles —\n",
    "# Hamlet\n\n**HAMLET**  \nAnd by opposing end them? To die: to sleep; no more; and by a sleep to say we end\n",
]
SIZES = {"character": None, "byte": None, "bpe": 330, "unigram": 330}

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
# Texts that a tokenizer might confuse with its own notation: pieces, escapes, spaces, names of bytes.
TRICKY_TEXT = st.lists(
    st.sampled_from(
        ["\u2581", "\x10", "0", "1", " ", "  ", "\n", "\r\n", "\0", "<s>", "<0x0A>", "<unk>", "\ufeff", "\ufffd", "é"]
    )
).map("".join)


@pytest.fixture(scope="module", params=SIZES)
def fitted(request):
    return vocabulary.fit(request.param, TEXTS, SIZES[request.param])


@pytest.fixture(scope="module")
def served(fitted, tmp_path_factory):
    """Returns the vocabulary as loaded from a SavedModel: functions from text to tokens and back."""

    class Server(tf.Module):
        def __init__(self):
            super().__init__()
            self.vocabulary = fitted

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def round_trip(self, text):
            tokens = self.vocabulary.encode(text)
            return {"tokens": tokens.to_tensor(), "text": self.vocabulary.decode(tokens.to_tensor())}

    folder = str(tmp_path_factory.mktemp("served"))
    tf.saved_model.save(Server(), folder)
    return tf.saved_model.load(folder)


def in_vocabulary(fitted, text):
    """Returns the text without the characters that are not in a character vocabulary."""
    return "".join(c for c in text if c in fitted.characters) if fitted.kind == "character" else text


@hypothesis.settings(max_examples=40)
@hypothesis.given(texts=st.lists(ANY_TEXT | TRICKY_TEXT | st.sampled_from(TEXTS), min_size=1, max_size=4))
def test_round_trip(fitted, texts):
    tokens = fitted.encode(tf.constant([text.encode() for text in texts]))
    assert tokens.dtype == tf.int32
    assert tokens.shape.as_list() == [len(texts), None]
    # A document's tokens depend neither on the other rows of the batch nor on padding.
    for text, row in zip(texts, tokens, strict=True):
        np.testing.assert_array_equal(fitted.encode(tf.constant([text.encode()]))[0], row)
    decoded = [text.decode() for text in fitted.decode(tokens.to_tensor()).numpy()]
    assert decoded == [in_vocabulary(fitted, text) for text in texts]
    values = tokens.flat_values.numpy()
    assert ((values >= special.UNKNOWN) & (values < fitted.size)).all()
    assert fitted.kind == "character" or (values >= special.SPECIAL).all()


@hypothesis.settings(max_examples=40)
@hypothesis.given(text=st.binary(max_size=20))
def test_any_bytes_are_encoded_as_their_repaired_text(fitted, text):
    tokens = fitted.encode(tf.constant([text]))
    repaired = tf.strings.unicode_transcode([text], "UTF-8", "UTF-8", errors="replace")
    repaired.numpy()[0].decode("utf-8")
    np.testing.assert_array_equal(tokens[0], fitted.encode(repaired)[0])


def test_decode_drops_special_ids_and_goes_on(fitted):
    text = "be or"
    inner = fitted.encode(tf.constant([text])).numpy()[0]
    tokens = [special.BEGIN, *inner[:2], special.END, special.PAD, special.UNKNOWN, *inner[2:], special.END]
    assert fitted.decode(tf.constant([tokens], tf.int32)).numpy()[0].decode() == text


def test_empty_batches_and_rows(fitted):
    assert fitted.encode(tf.constant([], tf.string)).shape.as_list() == [0, None]
    assert fitted.encode(tf.constant(["", ""])).to_list() == [[], []]
    assert fitted.decode(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


def test_decode_any_ids_gives_valid_text(fitted):
    tokens = np.random.default_rng(0).integers(0, fitted.size, [50, 20])
    for text in fitted.decode(tf.constant(tokens, tf.int32)).numpy():
        text.decode("utf-8")


def test_served(fitted, served):
    texts = [TEXTS[2], "", "  two  spaces\n", "é漢\u2581", b"\xff\xfe!"]
    outputs = served.round_trip(tf.constant(texts))
    tokens = fitted.encode(tf.constant(texts)).to_tensor()
    np.testing.assert_array_equal(outputs["tokens"], tokens)
    np.testing.assert_array_equal(outputs["text"], fitted.decode(tokens))


def test_save_and_load(fitted, tmp_path):
    fitted.save(tmp_path)
    again = vocabulary.load(tmp_path)
    assert type(again) is type(fitted)
    assert (again.kind, again.size, again.unknown_cost) == (fitted.kind, fitted.size, fitted.unknown_cost)
    np.testing.assert_array_equal(
        again.encode(tf.constant(TEXTS)).flat_values, fitted.encode(tf.constant(TEXTS)).flat_values
    )
    assert json.loads((tmp_path / "vocabulary.json").read_text())["kind"] == fitted.kind


@hypothesis.settings(max_examples=40)
@hypothesis.given(text=ANY_TEXT | TRICKY_TEXT | st.sampled_from(TEXTS))
def test_tokens_outside_of_a_graph_are_the_same(fitted, text):
    found = fitted.tokens(text)
    np.testing.assert_array_equal(found, fitted.encode(tf.constant([text.encode()]))[0])
    assert found.dtype == np.int32


def test_unknown_kind():
    with pytest.raises(UserError, match=r"`kind` must be one of character, byte, bpe, unigram\. Received: kind='word'"):
        vocabulary.fit("word", TEXTS, None)

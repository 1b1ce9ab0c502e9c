import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.byte import ByteVocabulary


def test_tokens_are_bytes_behind_the_special_ids():
    text = "a\0é漢"
    assert ByteVocabulary().encode(tf.constant([text])).to_list() == [[4 + b for b in text.encode()]]
    assert (ByteVocabulary.size, ByteVocabulary.unknown_cost) == (260, 0)


def test_broken_characters_decode_to_replacements():
    tokens = tf.constant([[4 + b for b in b"a\xc3"], [4 + b for b in b"\xff!"]], tf.int32)
    assert [text.decode() for text in ByteVocabulary().decode(tokens).numpy()] == ["a\ufffd", "\ufffd!"]


def test_size_is_fixed():
    assert ByteVocabulary.fit(260).size == 260
    with pytest.raises(UserError, match=r"`size` must be 260 or null for a byte vocabulary\. Received: size=300"):
        ByteVocabulary.fit(300)

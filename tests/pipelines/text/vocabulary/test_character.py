import json
import math

import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.vocabulary.character import CharacterVocabulary


def test_characters_are_sorted_behind_the_special_ids():
    fitted = CharacterVocabulary.fit(["cab", "é\n"], None)
    assert fitted.characters == "\nabcé"
    assert fitted.size == 9
    assert fitted.encode(tf.constant(["ab\né"])).to_list() == [[5, 6, 4, 8]]


def test_size_keeps_the_most_frequent():
    # b 3, c 2, a 2, d 1: a comes before c, and the three kept are sorted again.
    fitted = CharacterVocabulary.fit(["bbbccaad"], 7)
    assert (fitted.characters, fitted.size) == ("abc", 7)
    assert fitted.encode(tf.constant(["abcd"])).to_list() == [[4, 5, 6, 3]]
    assert CharacterVocabulary.fit(["ab"], 100).size == 6


def test_others_are_unknown():
    fitted = CharacterVocabulary.fit(["mM"], None)
    # Below, between and above the known ones; invalid bytes; a character that was cut.
    text = [b"a", b"Z", b"z", "\U0010ffff".encode(), b"\xff", "é".encode()[:1]]
    assert fitted.encode(tf.constant(text)).to_list() == [[3]] * 6


def test_unknown_cost_completes_the_distribution():
    fitted = CharacterVocabulary.fit(["abc"], None)
    others = 0x110000 - 3
    assert math.isclose(others * math.exp(-fitted.unknown_cost), 1)


def test_file_is_readable(tmp_path):
    CharacterVocabulary.fit(["é\n"], None).save(tmp_path)
    assert json.loads((tmp_path / "vocabulary.json").read_text()) == {"kind": "character", "characters": ["\n", "é"]}
    assert "é" in (tmp_path / "vocabulary.json").read_text()


@pytest.mark.parametrize(
    ("texts", "size", "message"), [([""], None, "empty text"), ([], None, "empty text"), (["a"], 4, "Received: size=4")]
)
def test_refuses(texts, size, message):
    with pytest.raises(UserError, match=message):
        CharacterVocabulary.fit(texts, size)

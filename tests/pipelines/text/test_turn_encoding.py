import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data import preparation
from ikelos.pipelines.text import turn_encoding, vocabulary
from ikelos.pipelines.text.config import TurnSource, Vocabulary
from ikelos.pipelines.text.turn_encoding import TurnPreparation, history_tokens, reply_tokens
from ikelos.pipelines.text.vocabulary.special import BEGIN, END, PAD

SPLITS = ("train", "validation", "test")


@pytest.fixture
def prepared(tmp_path):
    for split in SPLITS:
        conversations = [{"turns": [f"{split} {number}", "ü", "bye"]} for number in range(4)]
        lines = [*map(json.dumps, conversations), '{"turns": ["alone"]}', "no JSON"]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    files = {split: [f"{tmp_path}/{split}.jsonl"] for split in SPLITS}
    source = TurnSource.model_validate_json(json.dumps({"files": files, "allowed_faults": 0.5}))
    return preparation.prepare(TurnPreparation(source, Vocabulary(kind="character", size=None)))


def test_stores_have_the_tokens_and_the_texts_of_turns(prepared):
    store, words = prepared.splits["test"], prepared.learned.vocabulary
    assert (len(store), store.skipped, store.empty) == (4, {"not a conversation": 1}, 1)
    assert turn_encoding.turns_of(store, 2) == ["test 2", "ü", "bye"]
    first, other = words.size, words.size + 1
    expected = [BEGIN, first, *words.tokens("test 2"), END, other, *words.tokens("ü"), END]
    np.testing.assert_array_equal(store.ragged("tokens")[2], [*expected, first, *words.tokens("bye"), END])
    assert prepared.learned.example == "validation 0\nü\nbye"


def test_held_out_conversations_reach_neither_vocabulary_nor_training_store(prepared):
    assert set(prepared.learned.vocabulary.characters) == set("train 0123übye")
    texts = {split: prepared.splits[split].ragged("turns").values.tobytes() for split in SPLITS}
    for split in ("validation", "test"):
        assert split.encode() not in texts["train"]


@pytest.mark.parametrize("kind", ["character", "bpe"])
def test_the_graph_encodes_a_history_as_the_preparation_does(kind):
    texts = ["How are you, today?", "fine  thanks\tand you", "I am well."] * 9
    words = vocabulary.fit(kind, texts, 290 if kind == "bpe" else None)
    histories = [[], ["Hi!"], ["How are\tyou?", " fine "], ["a", "b", "c"]]
    tokens, lengths = history_tokens(words, tf.constant(["", "\nHi!\r\n \n", "How are\tyou?\n fine ", "a\nb\nc"]), 99)
    for row, length, turns in zip(tokens.numpy(), lengths.numpy(), histories, strict=True):
        plain = [" ".join(turn.split()) for turn in turns]
        np.testing.assert_array_equal(row[:length], [*turn_encoding.tokens(words, plain), words.size + len(turns) % 2])
        assert (row[length:] == PAD).all()


def test_long_histories_keep_their_newest_tokens():
    words = vocabulary.fit("character", ["abc"], None)
    whole, _ = history_tokens(words, tf.constant(["abc\ncba"]), 99)
    cut, lengths = history_tokens(words, tf.constant(["abc\ncba", "a"]), 5)
    np.testing.assert_array_equal(cut[0], [BEGIN, *whole[0, -4:]])
    assert lengths.numpy().tolist() == [5, 5]


def test_replies_are_cut_before_their_end():
    words = vocabulary.fit("character", ["abc"], None)
    tokens, lengths = reply_tokens(words, tf.constant([" abc\n", ""]), 3)
    np.testing.assert_array_equal(tokens, [[*words.tokens("ab"), END], [END, PAD, PAD]])
    assert lengths.numpy().tolist() == [3, 1]

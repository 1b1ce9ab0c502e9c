import json

import pytest

from ikelos.pipelines.data.builders import chitchat_conversations
from ikelos.pipelines.data.builders.chitchat_conversations import conversations, split_of, until_private


def talk(*turns):
    """Returns a conversation of the package: each turn is a list of messages, of two people in turn."""
    return {
        "messages": [
            [{"text": text, "sender": f"person {place % 2}"} for text in ([turn] if isinstance(turn, str) else turn)]
            for place, turn in enumerate(turns)
        ]
    }


def test_messages_of_a_turn_are_joined_and_short_conversations_left_out():
    data = {
        "b": talk(["Hi ", "how  are\nyou?"], "good", "ok", "bye"),
        "a": talk("a", "b", "c"),
        "c": talk("a", " ", "b", "c", "d", "e"),
        "d": {"messages": [[{"text": "Hello?", "sender": "x"}]] * 9},
        "e": talk("HI how are you?", "Good", "OK", "bye"),
        "f": talk("only", " ", "mine", "", "again", "", "and again"),
    }
    assert list(conversations(data)) == [
        ("b", ["Hi how are you?", "good", "ok", "bye"]),
        ("c", ["a b", "c", "d", "e"]),
    ]


@pytest.mark.parametrize(
    "turn",
    [
        "mail me: some.one@example.org",
        "I am @someone there",
        "call (212) 555-0123",
        "212.555.0123",
        "see https://somewhere",
        "www.somewhere",
        "at Somewhere.com",
        "oh shit",
        "ShIt",
        "bullshit",
    ],
)
def test_a_conversation_ends_before_addresses_and_coarse_words(turn):
    assert until_private(["a", "b", turn, "c"]) == ["a", "b"]


@pytest.mark.parametrize("turn", ["Awww. But", "99.5", "01001010010100", "a class of 10", "pass it", "so...net"])
def test_other_turns_are_kept(turn):
    assert until_private(["a", turn]) == ["a", turn]


def test_ids_decide_the_split():
    found = [split_of(str(number)) for number in range(4000)]
    assert 0.04 < found.count("validation") / 4000 < 0.06
    assert 0.09 < found.count("test") / 4000 < 0.115


def test_the_builder_reads_the_package(tmp_path, monkeypatch):
    names = [str(number) for number in range(60)]
    (tmp_path / "chitchat_dataset").mkdir()
    data = {name: talk("a", "b", "c", name) for name in names}
    (tmp_path / "chitchat_dataset" / "dataset.json").write_text(json.dumps(data))
    monkeypatch.setattr(chitchat_conversations.packages, "wheel", lambda *_: tmp_path)
    builder = chitchat_conversations.ChitchatConversations(data_dir=tmp_path / "tfds")
    builder.download_and_prepare()
    found = {}
    for split in ("train", "validation", "test"):
        examples = list(builder.as_dataset(split=split).as_numpy_iterator())
        found |= {example["id"].decode(): split for example in examples}
        assert all(example["turns"].tolist() == [b"a", b"b", b"c", example["id"]] for example in examples)
    assert found == {name: split_of(name) for name in names}
    assert set(found.values()) == {"train", "validation", "test"}

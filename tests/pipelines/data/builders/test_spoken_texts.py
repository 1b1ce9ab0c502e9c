import hashlib
import itertools
import json
import random

import pytest

from ikelos.pipelines.data.builders import spoken_texts
from ikelos.pipelines.data.builders.spoken_texts import plain, split_of


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Please press 1, or * to cancel...", "please press one or star to cancel"),
        ("[sound of monkeys screaming]", ""),
        ('IAX (note: does not say "2")', "iax"),
        ("<beep ascending>", ""),
        ("at [@]", "at"),
        ("O'clock, the user's 'best' friends'", "o'clock the user's best friends"),
        ("dial 500, H.323, 28.8", "dial five hundred h three two three twenty eight point eight"),
        ("extension 1234", "extension one two three four"),
        ("All represenatives re-enter 17", "all representatives re enter seventeen"),
        ("visit www.asterisk.org.", "visit w w w dot asterisk dot org"),
    ],
)  # fmt: skip
def test_texts_are_words_in_lower_case(written, text):
    assert plain(written) == text
    assert plain(text) == text


def test_a_hash_of_the_text_decides_the_split():
    texts = [f"text {number}" for number in range(4000)]
    splits = [split_of(text) for text in texts]
    assert splits.count("test") / 4000 == pytest.approx(84 / 256, abs=0.03)
    assert splits.count("validation") / 4000 == pytest.approx(20 / 256, abs=0.02)
    assert splits == [split_of(text) for text in texts]
    # The order of the thresholds, so that no text changes its split unnoticed.
    assert {split_of(text) for text in texts if hashlib.sha256(text.encode()).digest()[0] < 84} == {"test"}


def test_clauses_of_chats_have_usual_words_alone(tmp_path):
    turns = ["I like cats, dogs and birds. Do you?", "call me at 555 1234", "mail a@b.c please", "one", "I lik cats"]
    messages = [[{"text": text, "sender": "x"}] for text in turns]
    chats = {str(number): {"messages": messages} for number in range(5)}
    chats["again"] = {"messages": [[{"text": "birds I like\u2019s", "sender": "y"}, {"text": "I xyz", "sender": "y"}]]}
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(chats))
    assert sorted(spoken_texts.chats(path)) == ["do you", "dogs and birds", "i lik cats", "i like cats"]


def test_varied_texts_bring_words_that_are_rare_so_far():
    texts = [f"a b {number % 3}" for number in range(60)] + ["a c"]
    found = spoken_texts.varied(texts, 100)
    assert len(found) == 37
    assert found[-1] == "a c"
    assert len(spoken_texts.varied(texts, 5)) == 5


@pytest.mark.parametrize("source", [spoken_texts.spelled, spoken_texts.counted])
def test_made_texts_are_plain_and_the_same_in_each_call(source):
    texts = list(itertools.islice(source(random.Random(0)), 300))
    assert texts == list(itertools.islice(source(random.Random(0)), 300))
    assert all(text == plain(text) for text in texts)
    assert len(set(texts)) > 200

import datetime
import itertools
import re
import sys

import pytest

from ikelos.pipelines.data.builders import number_words
from ikelos.pipelines.data.builders.number_words import DIGITS, in_words, pairs
from ikelos.pipelines.errors import UserError


@pytest.mark.parametrize(
    ("value", "language", "words"),
    [
        (80, "fr", "quatre-vingts"),
        (31_000, "es", "treinta y uno mil"),
        (777, "de", "siebenhundertsiebenundsiebzig"),
        (1_001_000, "en", "one million, one thousand"),
        (datetime.date(1999, 3, 1), "fr", "premier mars mille neuf cent quatre-vingt-dix-neuf"),
        (datetime.date(2010, 5, 1), "es", "primero de mayo de dos mil diez"),
        (datetime.date(2010, 5, 3), "de", "der dritte Mai zweitausendzehn"),
        (datetime.date(2010, 12, 31), "en", "the thirty-first of December two thousand and ten"),
        (datetime.date(2010, 5, 3), DIGITS, "2010-05-03"),
        (40, DIGITS, "40"),
    ],
)
def test_words(value, language, words):
    assert in_words(value, language) == words


def test_pairs_are_the_same_each_time_and_of_several_kinds():
    some = list(itertools.islice(pairs("test"), 400))
    assert some == list(itertools.islice(pairs("test"), 400))
    assert {group for group, _, _ in some} == {"numbers", "dates", "longer numbers"}
    for _, source, target in some:
        assert re.match("(de|en|es|fr): .", source)
        assert not re.search(r"\d", target)


def test_no_number_or_date_is_in_two_splits(monkeypatch):
    seen = {split: set() for split in ("train", "validation", "test")}
    known = []
    monkeypatch.setattr(number_words, "in_words", lambda value, _: known.append(value) or "word")
    for split, values in seen.items():
        known.clear()
        list(itertools.islice(pairs(split), 3000))
        values.update(known)
    for one, other in itertools.combinations(seen.values(), 2):
        assert not one & other
    longest = max(value for value in seen["train"] if isinstance(value, int) and value % 1_000_000)
    assert longest < 1_000_000


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "num2words", None)
    with pytest.raises(UserError, match="package num2words, which is not installed"):
        in_words(3, "en")

"""The texts of the data set `spoken_prompts`: how they are written, which split they belong to, and where those that
are synthesised come from."""

import hashlib
import itertools
import json
import pathlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ikelos.pipelines.data.builders.number_words import number_in_words
from ikelos.pipelines.data.config import Split

# Shares, in 256ths, of the texts in the test and the validation split.
_TEST, _VALIDATION = 84, 20
_SIGNS = {"*": " star ", "#": " pound "}
# Mistakes in the transcripts of the prompts.
_SPELLING = {
    "decending": "descending",
    "exclaimation": "exclamation",
    "fourtieth": "fortieth",
    "indentified": "identified",
    "represenatives": "representatives",
    "umute": "unmute",
    "witheld": "withheld",
}
_NOTE = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")
"""Remarks in transcripts: sounds, and what is meant by a word."""
_CLAUSE = re.compile(r"[.,!?;:\n]+")
_CHAT_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*\Z")
_ADDRESS = re.compile(r"[0-9@/]|www")
"""What occurs in addresses and numbers; the turns with it are left out."""
_CLAUSE_WORDS = (2, 10)
_USUAL = 5
"""Occurrences from which a word of the chats is taken to be spelled as usual."""
_OFTEN = 12
"""Clauses with a word after which the word alone is no reason to take another clause."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PHONETIC = """
alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo sierra
tango uniform victor whiskey xray yankee zulu niner
"""
_MONTHS = "january february march april may june july august september october november december"
_DAYS = "monday tuesday wednesday thursday friday saturday sunday today tomorrow yesterday"


def plain(text: str) -> str:
    """Returns the words of a text in lower case with a space between two: letters and apostrophes alone.

    Numbers become words: those of one or two digits and round hundreds as usual, others digit by digit. Remarks in
    brackets are left out. A text without words becomes "".
    """
    text = _NOTE.sub(" ", text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = re.sub(r"(?<=\d)\.(?=\d)", " point ", text)
    text = text.replace("www.", "w w w dot ").replace(".org", " dot org")
    text = re.sub(r"\d+", lambda found: f" {_said(found[0])} ", text)
    words = re.sub(r"[^a-z']+", " ", text.lower().replace("\u2019", "'")).split()
    stripped = (word.strip("'") for word in words)
    return " ".join(_SPELLING.get(word, word) for word in stripped if word)


def _said(digits: str) -> str:
    if len(digits) <= 2 or (len(digits) == 3 and digits.endswith("00")):
        return number_in_words(int(digits))
    return " ".join(number_in_words(int(digit)) for digit in digits)


def split_of(text: str) -> Split:
    """Returns the split of a text in the form of `plain`, which a hash of it decides, whoever speaks it."""
    drawn = hashlib.sha256(text.encode()).digest()[0]
    if drawn < _TEST:
        return "test"
    return "validation" if drawn < _TEST + _VALIDATION else "train"


def chats(path: pathlib.Path) -> list[str]:
    """Returns the clauses of two to ten words in the chats of the package chitchat-dataset, each once, ordered by a
    hash.

    Turns with a number or an address are left out, and clauses with a word that occurs less than five times.

    Args:
        path: Its file `dataset.json`.
    """
    found: dict[str, None] = {}
    counts: Counter[str] = Counter()
    for chat in json.loads(path.read_text(encoding="utf-8")).values():
        for turn in itertools.chain.from_iterable(chat["messages"]):
            if _ADDRESS.search(turn["text"]):
                continue
            for clause in _CLAUSE.split(turn["text"].lower()):
                words = clause.replace("\u2019", "'").split()
                if all(map(_CHAT_WORD.match, words)):
                    counts.update(words)
                    if _CLAUSE_WORDS[0] <= len(words) <= _CLAUSE_WORDS[1]:
                        found.setdefault(" ".join(words))
    usual = [text for text in found if all(counts[word] >= _USUAL for word in text.split())]
    return sorted(usual, key=lambda text: hashlib.sha256(text.encode()).digest())


def varied(texts: Iterable[str], number: int) -> list[str]:
    """Returns the first texts that have a word which few of those before them have, and at most `number`."""
    counts: Counter[str] = Counter()
    found: list[str] = []
    for text in texts:
        words = set(text.split())
        if len(found) < number and any(counts[word] < _OFTEN for word in words):
            counts.update(words)
            found.append(text)
    return found


def spelled(draw: random.Random) -> Iterator[str]:
    """Yields endless sequences of one to six letters, words of the phonetic alphabet, and digits."""
    digits, phonetic = [number_in_words(digit) for digit in range(10)], _PHONETIC.split()
    mixed: list[list[Sequence[str]]] = [[_LETTERS, digits], [_LETTERS, phonetic, digits]]
    ways: list[list[Sequence[str]]] = [[_LETTERS], [phonetic], [digits], *mixed]
    while True:
        kinds = draw.choice(ways)
        yield " ".join(draw.choice(draw.choice(kinds)) for _ in range(draw.randint(1, 6)))


def counted(draw: random.Random) -> Iterator[str]:
    """Yields endless numbers, ordinal numbers, dates, times of the day and amounts in words."""

    def number(most):
        return plain(number_in_words(draw.randrange(10 ** draw.randint(1, most))))

    def ordinal(most):
        return plain(number_in_words(draw.randint(1, most), ordinal=True))

    months, days = _MONTHS.split(), _DAYS.split()
    while True:
        yield draw.choice(
            [
                lambda: number(7),
                lambda: ordinal(100),
                lambda: f"{draw.choice(days)} the {ordinal(31)} of {draw.choice(months)}",
                lambda: f"{draw.choice(months)} {ordinal(31)}",
                lambda: f"{number_in_words(draw.randint(1, 12))} {number(2)} {draw.choice(['a m', 'p m'])}",
                lambda: f"{number(3)} {draw.choice(['seconds', 'minutes', 'hours', 'days', 'dollars', 'percent'])}",
                lambda: f"{draw.choice(days)} at {number_in_words(draw.randint(1, 12))} o'clock",
            ]
        )()

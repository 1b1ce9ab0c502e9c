"""Numbers and dates in words of several languages, as a TensorFlow Datasets builder."""

import datetime
import hashlib
import importlib
import random
from collections.abc import Iterator

import tensorflow_datasets as tfds

from ikelos.pipelines.errors import UserError

LANGUAGES = ("de", "en", "es", "fr")
DIGITS = "digits"
NUMBERS, DATES, ROUND, LONGER = "numbers", "dates", "round millions", "longer numbers"
_MOST_DIGITS = 6
_DATES = (datetime.date(1800, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal())
_SIZES = {
    "train": {NUMBERS: 60_000, DATES: 20_000, ROUND: 4_000},
    "validation": {NUMBERS: 700, DATES: 300},
    "test": {NUMBERS: 1_400, DATES: 600, LONGER: 500},
}
_MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
}

_DESCRIPTION = """\
Numbers and dates in words: the source has them in digits or in words of one of four languages (German, English,
Spanish, French), the target in words of another one, which the source names: "de: four hundred and twelve" becomes
"vierhundertzwölf". The words of numbers come from the Python package num2words, those of dates from them and from
the names of the months. Where num2words is wrong, so is the data: Spanish "treinta y uno mil" should be "treinta y un
mil".

A hash of the number or the date decides its split, so that none of the test (1,400 numbers below a million and 600
dates from 1800 to 2099) occurs in training (60,000 and 20,000), in whatever languages. Training also has 4,000 round
millions below a thousand million. The test has 500 "longer numbers" in that range that are not round: training has all
their words, but no number as long.
"""

LICENCE = "Made by the builder. The package num2words, which is not part of the data, is under the LGPL 2.1."


class NumberWords(tfds.core.GeneratorBasedBuilder):
    """Numbers and dates in words.

    Features: `id` (`test/17`), `source`, `target`, and `group`: `numbers`, `dates`, `round millions` or `longer
    numbers`.
    """

    name = "number_words"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "German, English, Spanish and French."}

    def _info(self):
        text = tfds.features.Text
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"id": text(), "source": text(), "target": text(), "group": text()}),
            supervised_keys=("source", "target"),
            homepage="https://github.com/savoirfairelinux/num2words",
            license=LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        _num2words()
        return {split: self._generate_examples(split) for split in _SIZES}

    def _generate_examples(self, split):
        for index, (group, source, target) in enumerate(pairs(split)):
            yield index, {"id": f"{split}/{index}", "source": source, "target": target, "group": group}


def pairs(split: str) -> Iterator[tuple[str, str, str]]:
    """Yields group, source and target of the pairs of a split; the same in each call."""
    draw = random.Random(f"number_words {split}")
    kinds = [group for group, size in _SIZES[split].items() for _ in range(size)]
    draw.shuffle(kinds)
    for group in kinds:
        while True:
            value = _drawn(group, draw)
            if _split_of(value) == split:
                break
        source, target = draw.sample((DIGITS, *LANGUAGES), 2)
        if target == DIGITS:
            source, target = target, source
        yield group, f"{target}: {in_words(value, source)}", in_words(value, target)


def _drawn(group: str, draw: random.Random) -> int | datetime.date:
    if group == DATES:
        return datetime.date.fromordinal(draw.randint(*_DATES))
    if group == ROUND:
        return 1_000_000 * draw.randrange(1, 10 ** draw.randint(1, 3))
    if group == LONGER:
        return 1_000_000 * draw.randrange(1, 10 ** draw.randint(1, 3)) + draw.randrange(1, 1_000_000)
    digits = draw.randint(1, _MOST_DIGITS)
    return draw.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def _split_of(value: int | datetime.date) -> str:
    """Returns the split that a number or a date belongs to; round millions are for training alone."""
    if isinstance(value, int) and value >= 1_000_000:
        return "train" if value % 1_000_000 == 0 else "test"
    drawn = hashlib.sha256(str(value).encode()).digest()[0]
    if drawn < 13:
        return "validation"
    return "test" if drawn < 39 else "train"


def in_words(value: int | datetime.date, language: str) -> str:
    """Returns a number or a date in words of a language, or in digits.

    Args:
        value: A number below a thousand million, or a date.
        language: One of `LANGUAGES`, or `DIGITS`.
    """
    if language == DIGITS:
        return str(value)
    if isinstance(value, int):
        return _num2words()(value, lang=language)
    month, year = _MONTHS[language].split()[value.month - 1], in_words(value.year, language)
    if language in ("es", "fr"):
        first = {"es": "primero", "fr": "premier"}[language]
        day = first if value.day == 1 else in_words(value.day, language)
        return f"{day} de {month} de {year}" if language == "es" else f"{day} {month} {year}"
    day = _num2words()(value.day, lang=language, to="ordinal")
    return f"der {day} {month} {year}" if language == "de" else f"the {day} of {month} {year}"


def number_in_words(number: int, ordinal: bool = False) -> str:
    """Returns a number in English words: "forty-two", or "forty-second" if `ordinal`."""
    return _num2words()(number, to="ordinal" if ordinal else "cardinal")


def _num2words():
    try:
        return importlib.import_module("num2words").num2words
    except ImportError:
        raise UserError(
            "number_words is made with the package num2words, which is not installed: install Ikelos with the extra "
            "`pipelines`, in a clone by: pip install '.[pipelines]'"
        ) from None

"""English and Spanish Bible verses as a TensorFlow Datasets builder."""

import html
import pathlib
import re
import struct
import zlib
from collections.abc import Iterator, Set

import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import packages

# SHA-256 checksums of the packages in Debian 12 and in Debian 13.
_PACKAGES = {
    "sword-text-web": (
        "930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1",
        "b2029a802c44f1d6103de45e9ef5c64a9bd66466776e593e386b5ea84bfc110f",
    ),
    "sword-text-sparv": (
        "5c87f9b2bc97457e8a872f5bae7ea7ce59cb3de1dcee73e4d4740451863694cf",
        "c39b44396b6898a05b3753ac6c55c88f1a5a41f1fd6a0bc5dac7fe96aca5141b",
    ),
}
_TESTAMENTS = ("ot", "nt")

# Chapters whose verses are numbered differently in the two texts, or in parts of them.
SHIFTED = "1Chr.1 1Kgs.22 1Sam.24 2Chr.33 Hos.12 Job.38 Job.39 Job.40 Job.41 Judg.14 Num.13"
# Of the others, the chapters with the smallest SHA-256 checksums of their names: 60 for the test, then 30.
TEST = """
1Chr.23 1Kgs.13 1Kgs.2 1Pet.1 1Sam.14 1Sam.29 2Chr.21 2Kgs.10 2Kgs.9 2Sam.21 2Sam.9 2Tim.3 Acts.11 Acts.28 Dan.5
Deut.20 Deut.26 Deut.30 Eccl.9 Exod.1 Exod.15 Exod.21 Exod.25 Exod.35 Ezek.11 Ezek.13 Ezek.22 Ezek.23 Ezek.45 Gen.33
Hos.14 Isa.10 Isa.49 Isa.57 Isa.63 Jer.10 Jer.18 Jer.20 Jer.6 Jer.9 Joel.1 Jonah.3 Judg.10 Lev.15 Lev.26 Lev.4
Luke.13 Luke.14 Mic.6 Num.14 Phil.3 Prov.14 Ps.3 Ps.35 Ps.4 Rev.1 Rev.13 Rom.16 Rom.8 Ruth.4
"""
VALIDATION = """
1Chr.22 1Chr.8 2Chr.24 2Chr.29 2Chr.6 2Cor.9 Esth.4 Exod.19 Ezek.7 Gen.39 Heb.1 Hos.9 Isa.51 Jer.47 Job.2 Job.29
John.14 Jonah.1 Josh.22 Josh.23 Josh.9 Judg.19 Lev.20 Mal.3 Matt.20 Ps.131 Ps.41 Ps.44 Ruth.3 Song.5
"""
_SPLITS = dict.fromkeys(TEST.split(), "test") | dict.fromkeys(VALIDATION.split(), "validation")
_RATIO = 2.0
"""Largest ratio of the lengths of two texts, in characters: a larger one is a fault of the numbering."""

_CHAPTER = re.compile(r'<chapter [^>]*osisID="(?P<name>\w+\.\d+)"[^>]*sID=')
_BOOK = re.compile(r'<div [^>]*type="(?:book|front)"[^>]*>.*<title', re.DOTALL)
# Notes, and the limits of added words: they can stand between two words without a space.
_GAP = re.compile(r"<note\b[^>]*>.*?</note>|</?transChange[^>]*>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]+")
_INITIALS = 3
"""Number of words at the beginning of a verse of which one may be in capitals, as a printed initial."""

_DESCRIPTION = """\
Verses of the Bible in the World English Bible (English, 2020) and in the Reina-Valera of 1909 (Spanish, in the spelling
of its time: "á", "fué"), from the Debian packages sword-text-web and sword-text-sparv. Footnotes and markup are left
out. Psalm titles are kept: the Spanish text has them in the first verse. First words in capitals are written as usual.

Eleven chapters are left out in which the verses are numbered differently, and so are pairs of which one text is more
than twice as long as the other. Whole chapters are held out, chosen by a checksum of their names: 60 for the test
(1,594 verses) and 30 for validation (679); 28,430 verses are for training. Verses that two books share almost word by
word (the synoptic gospels, Kings and Chronicles) can be in training and test.
"""

LICENCE = """\
Both texts are in the public domain. "World English Bible" is a trademark of eBible.org, and no changed text may be
called that: this one is changed, as its notes are left out.
"""


class BibleVerses(tfds.core.GeneratorBasedBuilder):
    """Verses in English and Spanish; whole chapters are held out.

    Features: `id` (`Gen.1.1`), `en` and `es`.
    """

    name = "bible_verses"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "English and Spanish."}

    def _info(self):
        text = tfds.features.Text
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"id": text(), "en": text(), "es": text()}),
            supervised_keys=("en", "es"),
            homepage="https://ebible.org",
            license=LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        english, spanish = (verses(folder) for folder in modules(pathlib.Path(dl_manager.download_dir) / "manual"))
        return {split: self._generate_examples(split, english, spanish) for split in ("train", "validation", "test")}

    def _generate_examples(self, split, english, spanish):
        for index, (name, en, es) in enumerate(pairs(split, english, spanish)):
            yield index, {"id": name, "en": en, "es": es}


def pairs(split: str, english: dict[str, str], spanish: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yields name, English and Spanish text of the verses of a split that both have, in the order of the English."""
    for name, en in english.items():
        es, chapter = spanish.get(name, ""), name.rpartition(".")[0]
        if _SPLITS.get(chapter, "train") != split or chapter in SHIFTED.split():
            continue
        if en and es and 1 / _RATIO <= len(es) / len(en) <= _RATIO:
            yield name, en, es


def verses(folder: pathlib.Path) -> dict[str, str]:
    """Returns the plain text of each verse of a module by its name, such as `Gen.1.1`.

    Each testament is a list of slots: for the module, for each book, for each chapter, where its beginning is marked,
    and for each verse of a chapter.
    """
    found: dict[str, str] = {}
    for testament in _TESTAMENTS:
        chapter, number = "", 0
        for text in _slots(folder, testament):
            if begins := _CHAPTER.search(text):
                chapter, number = begins["name"], 0
            elif _BOOK.search(text):
                chapter = ""
            elif chapter:
                number += 1
                found[f"{chapter}.{number}"] = plain(text)
    usual = {word for text in found.values() for word in _WORD.findall(text) if word.islower()}
    return {name: without_capitals(text, usual) for name, text in found.items()}


def _slots(folder: pathlib.Path, testament: str) -> Iterator[str]:
    """Yields the texts of all slots of a testament, from the three files of SWORD's format zText."""
    blocks, slots, content = ((folder / f"{testament}.{suffix}").read_bytes() for suffix in ("bzs", "bzv", "bzz"))
    unpacked: dict[int, bytes] = {}
    for block, start, length in struct.iter_unpack("<IIH", slots):
        if block not in unpacked:
            offset, packed, _ = struct.unpack_from("<III", blocks, 12 * block)
            unpacked = {block: zlib.decompress(content[offset : offset + packed])}
        yield unpacked[block][start : start + length].decode("utf-8")


def plain(text: str) -> str:
    """Returns the text of a verse without notes and markup."""
    bare = _SPACE.sub(" ", html.unescape(_TAG.sub("", _GAP.sub(" ", text)))).strip()
    return re.sub(r" ([,.;:!?])", r"\1", bare)


def without_capitals(text: str, usual: Set[str]) -> str:
    """Returns a verse in which the first words are not in capitals: "Y FUERON acabados" becomes "Y fueron acabados".

    Args:
        text: The verse.
        usual: Words that occur in lower case; others are names.
    """
    for place, word in enumerate(list(_WORD.finditer(text))[:_INITIALS]):
        if len(word[0]) > 1 and word[0].isupper():
            lower = word[0].lower()
            written = lower if place and lower in usual else lower.capitalize()
            text = text[: word.start()] + written + text[word.end() :]
    return text


def modules(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders with the files of the English and of the Spanish module.

    The packages are fetched by apt-get into `folder`, unless they are there.

    Raises:
        UserError: If a package cannot be fetched or unpacked, or has another checksum.
    """
    return [_module(package, folder) for package in _PACKAGES]


def _module(package: str, folder: pathlib.Path) -> pathlib.Path:
    unpacked = packages.debian("bible_verses", package, _PACKAGES[package], folder)
    (index,) = unpacked.glob("usr/share/sword/modules/texts/ztext/*/nt.bzv")
    return index.parent

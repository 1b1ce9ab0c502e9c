"""Conversations of the Chit-Chat Challenge as a TensorFlow Datasets builder."""

import hashlib
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from ikelos.pipelines.data.builders import packages

PACKAGE = (
    "chitchat-dataset",
    "0.9.0",
    ("7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",),
)
"""Name, version and checksums of the package, for `packages.wheel`."""
DATA = "chitchat_dataset/dataset.json"
"""Path of the conversations in the package."""
_FEWEST_TURNS = 4
_VALIDATION, _TEST = 13, 39
"""Ends of the ranges of the first byte of a conversation's hash: 5% are for validation, 10% for the test."""

_PRIVATE = re.compile(
    r"\S+@\S+\.\w"  # an e-mail address
    r"|\B@\w"  # the name of an account
    r"|\(?\b\d{3}\)?[-. ] ?\d{3}[-. ]\d{4}\b"  # a telephone number
    r"|https?://|\bwww\.\w|\b[\w-]+\.(?:com|edu|games|io|net|org)\b",  # an address on the web
    re.IGNORECASE,
)
_COARSE = re.compile(
    r"\b(?:ass|bastards?|damn|dick|sext|wtf)\b|fuck|shit\b|\bshit|bitch|asshole|cunt|\bslut|whore|nigg(?:a|er)"
    r"|faggot|retard|\bporn|sexy",
    re.IGNORECASE,
)

_DESCRIPTION = """\
Conversations of two people by text messages, from the Chit-Chat Challenge at Brigham Young University in 2018, as the
Python package chitchat-dataset 0.9.0 carries them. The people were mostly students, who talk of courses, families,
films and of the challenge itself.

A turn has all messages that a person sends before the other one answers, joined by spaces. A conversation is kept if
two people take at least four turns in it. It ends before the first turn with an e-mail address, the name of an account,
a telephone number, an address on the web or a coarse word, so that no turn follows one that is missing. Conversations
that are equal but for capitals are kept once.

The SHA-256 checksum of a conversation's id decides its split: 10% are for the test and 5% for validation. The same
people talk in all splits: the busiest 20 hold 44% of the places.

There are 3,238 conversations with 129,493 turns: 2,745 for training (110,417 turns), 171 for validation (5,656) and 322
for the test (13,420).
"""

LICENCE = """\
MIT, Copyright (c) 2019 Perception, Control and Cognition Lab.
"""

_CITATION = """\
@inproceedings{myers2020conversational,
  author = {Myers, William and Etchart, Tyler and Fulda, Nancy},
  title = {Conversational Scaffolding: An Analogy-based Approach to Response Prioritization in Open-domain Dialogs},
  booktitle = {International Conference on Agents and Artificial Intelligence},
  year = {2020},
}
"""


class ChitchatConversations(tfds.core.GeneratorBasedBuilder):
    """Conversations of two people, held out as a whole.

    Features: `id` and `turns`, whose speakers alternate.
    """

    name = "chitchat_conversations"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The conversations of chitchat-dataset 0.9.0."}

    def _info(self):
        text = tfds.features.Text()
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict({"id": text, "turns": tfds.features.Sequence(text)}),
            homepage="https://github.com/BYU-PCCL/chitchat-dataset",
            citation=_CITATION,
            license=LICENCE,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        folder = pathlib.Path(dl_manager.download_dir) / "manual"
        path = packages.wheel(self.name, *PACKAGE, folder) / DATA
        found = dict(conversations(json.loads(path.read_text(encoding="utf-8"))))
        return {split: self._generate_examples(found, split) for split in ("train", "validation", "test")}

    def _generate_examples(self, found, split):
        for index, (name, turns) in enumerate((name, found[name]) for name in found if split_of(name) == split):
            yield index, {"id": name, "turns": turns}


def split_of(name: str) -> str:
    """Returns the split of the conversation with this id."""
    drawn = hashlib.sha256(name.encode()).digest()[0]
    if drawn < _VALIDATION:
        return "validation"
    return "test" if drawn < _TEST else "train"


def conversations(data: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yields id and turns of the conversations that are kept, sorted by id.

    Args:
        data: The package's data: by id, a dict whose `messages` has a list for each turn, of messages that have a
            `text` and a `sender`.
    """
    seen = set()
    for name in sorted(data):
        turns: list[list[str]] = []
        last, people = None, set()
        for message in (message for turn in data[name]["messages"] for message in turn):
            text = " ".join(message["text"].split())
            if not text:
                continue
            if message["sender"] != last:
                turns.append([])
                last = message["sender"]
                people.add(last)
            turns[-1].append(text)
        kept = until_private([" ".join(messages) for messages in turns])
        key = tuple(turn.casefold() for turn in kept)
        if len(people) == 2 and len(kept) >= _FEWEST_TURNS and key not in seen:
            seen.add(key)
            yield name, kept


def until_private(turns: list[str]) -> list[str]:
    """Returns the turns before the first that has an address, a telephone number or a coarse word."""
    end = next((place for place, turn in enumerate(turns) if _PRIVATE.search(turn) or _COARSE.search(turn)), len(turns))
    return turns[:end]

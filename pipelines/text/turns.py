"""Reads conversations of two speakers from TensorFlow Datasets or files.

TensorFlow is imported only when conversations are read.
"""

import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ikelos.pipelines.data import sources
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.line_reader import LineReader, lines
from ikelos.pipelines.data.patterns import printable_path
from ikelos.pipelines.data.reader import Recorded
from ikelos.pipelines.data.records import Chunk, Record
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import TurnSource

_LINES = (".jsonl", ".jsonl.gz")
_CONVERSATION = "conversation"
"""Feature of a record."""
SPACES = r"[ \t\n\v\f\r]+"
"""What a single space replaces in a turn, for Python's and for TensorFlow's regular expressions."""


@dataclasses.dataclass(frozen=True)
class Conversation:
    """A conversation as it was read.

    Attributes:
        name: Stable id: the data set's feature `id`, or the path and the number of the line.
        content: JSON as described in `TurnSource`.
    """

    name: str
    content: bytes

    @property
    def key(self) -> bytes:
        """The content: equal conversations are in the same split."""
        return self.content


class Reader(LineReader[TurnSource]):
    """Reader of the conversations of a source."""

    suffixes = (*_LINES, *sources.TFRECORDS)
    divisible = suffixes

    def conversations(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Conversation]:
        """Yields the conversations of a split, or of one chunk of it, after the first `start`, in the same order.

        Raises:
            UserError: As `identity`, for a broken file, or an example without turns.
        """
        if self._source.files is not None:
            yield from self._in_files(split, chunk, start, self._in_file)
            return
        first, stop = chunk or (0, None)
        turns, roles = self._source.turns_feature, self._source.roles_feature
        for name, example in sources.examples(self._source, self.builder, split, first + start, stop):
            yield Conversation(name, _content(example[turns], None if roles is None else example[roles]))

    def _in_file(self, path: str) -> Iterator[Conversation]:
        if not sources.is_tfrecord(path):
            for number, line in enumerate(lines(path), 1):
                yield Conversation(f"{printable_path(path)}:{number}", line)
            return
        for name, features in sources.records(path):
            file, _, index = name.rpartition(":")
            names = filter(None, (self._source.turns_feature, self._source.roles_feature))
            turns, *roles = (
                list(features[feature].bytes_list.value) if feature in features else [] for feature in names
            )
            if not turns:
                raise UserError(
                    f"{file}: example {index} must have bytes values in the feature "
                    f"{self._source.turns_feature!r}. Received: the features {', '.join(sorted(features))}"
                )
            yield Conversation(name, _content(turns, *roles))

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the conversations of a chunk as `Record`s."""
        for conversation in self.conversations(split, chunk=chunk):
            yield Record(conversation.name, {_CONVERSATION: conversation.content})

    def check_features(self, features: Mapping[str, Any]) -> None:
        """Raises UserError unless the features that the recipe names are lists of texts of the data set."""
        import tensorflow as tf

        specs = {name: feature.get_tensor_spec() for name, feature in features.items()}
        lists = [
            name
            for name, spec in specs.items()
            if isinstance(spec, tf.TensorSpec) and spec.dtype == tf.string and spec.shape.rank == 1
        ]
        for key in ("turns_feature", "roles_feature"):
            name = getattr(self._source, key)
            if name is not None and name not in lists:
                raise UserError(
                    f"`data.source.{key}` must name a feature of {self._source.tfds} with a list of texts: "
                    f"{', '.join(lists) or 'none'} (of {', '.join(specs)}). Received: {name}"
                )


class RecordedReader(Recorded[TurnSource], Reader):
    """Reader of conversations in records that `Reader.records` yielded."""

    def conversations(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Conversation]:
        """Yields the conversations of a split after the first `start`; `chunk` is ignored, as `Records.only` has
        chosen it.
        """
        for record in self._records.read(split, start):
            features: Mapping[str, Any] = record.features
            yield Conversation(record.name, features[_CONVERSATION])


def _content(turns: Sequence[bytes], roles: Sequence[bytes] | None = None) -> bytes:
    # Bytes that are not UTF-8 become lone surrogates, which `parsed` finds.
    found = {"turns": turns} if roles is None else {"turns": turns, "roles": roles}
    return json.dumps(
        {name: [value.decode("utf-8", "surrogateescape") for value in values] for name, values in found.items()}
    ).encode()


def parsed(content: bytes) -> list[str] | str:
    """Returns the turns of a conversation, whose speakers alternate, or what is wrong with it.

    Spaces and line ends within a turn become single spaces. Turns without text are left out, and successive turns of
    one speaker are joined.
    """
    try:
        found = json.loads(content)
    except UnicodeDecodeError as error:
        return f"is not valid UTF-8: {error.reason}"
    except (json.JSONDecodeError, RecursionError) as error:
        return f"is not JSON: {error}"
    except ValueError:  # Python's limit on the digits of an integer
        return f"has an integer of more than {sys.get_int_max_str_digits():,} digits"
    if not isinstance(found, dict) or not _are_texts(found.get("turns")):
        return 'is not an object with a list of texts, "turns"'
    texts = found["turns"]
    roles = found.get("roles", [place % 2 for place in range(len(texts))])
    if "roles" in found and not (_are_texts(roles) and len(roles) == len(texts)):
        return f'has no text in "roles" for each of its {len(texts)} turns'
    if len(set(roles)) > 2:
        return f"has {len(set(roles))} speakers, not two: {', '.join(sorted(set(roles)))}"
    turns: list[str] = []
    last = None
    for text, role in zip(texts, roles, strict=True):
        plain = re.sub(SPACES, " ", text).strip(" ")
        if not plain:
            continue
        try:
            plain.encode()
        except UnicodeEncodeError as error:
            return f"is not valid UTF-8: {error.reason}"
        if role == last:
            turns[-1] += f" {plain}"
        else:
            turns.append(plain)
        last = role
    return turns


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)

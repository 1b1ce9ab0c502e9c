"""Reads pairs of a source text and a target text from TensorFlow Datasets or files.

TensorFlow is imported only when pairs are read.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ikelos.pipelines.data import patterns, sources
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.data.line_reader import TABLES, LineReader, lines
from ikelos.pipelines.data.patterns import printable_path
from ikelos.pipelines.data.reader import Recorded
from ikelos.pipelines.data.records import Chunk, Record
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.text.config import PairSource

_SOURCE, _TARGET, _GROUP, _FAULT = "source", "target", "group", "fault"
"""Features of a record."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A pair as it was read.

    Attributes:
        name: Stable id: the data set's feature `id`, or the path and the number of the line.
        source: The source text in UTF-8.
        target: The target text in UTF-8.
        group: The group of the pair; empty if there are none.
        fault: What is wrong with the line that it was read from; empty if nothing is.
    """

    name: str
    source: bytes
    target: bytes
    group: bytes = b""
    fault: str = ""

    @property
    def size(self) -> int:
        """Bytes of both texts."""
        return len(self.source) + len(self.target)

    @property
    def key(self) -> bytes:
        """The source text without spaces around it, so that no split has a source text of another one; the bytes as
        they are if they are not UTF-8."""
        try:
            return self.source.decode("utf-8").strip().encode()
        except UnicodeDecodeError:
            return self.source


class Reader(LineReader[PairSource]):
    """Reader of the pairs of a source."""

    def __init__(self, source: PairSource):
        """Keeps the recipe's section `source`."""
        super().__init__(source)
        self.suffixes = (*TABLES, *sources.TFRECORDS) if source.endings is None else (source.endings[0].lower(),)
        self.divisible = self.suffixes

    def pairs(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Pair]:
        """Yields the pairs of a split, or of one chunk of it, after the first `start`, in the same order each time.

        Raises:
            UserError: As `identity`, for parallel files of unequal length, a broken file, or an example without a text.
        """
        if self._source.files is None:
            section = self._source
            first, stop = chunk or (0, None)
            for name, example in sources.examples(section, self.builder, split, first + start, stop):
                group = b"" if section.group_feature is None else example[section.group_feature]
                yield Pair(name, example[section.source_feature], example[section.target_feature], group)
            return
        yield from self._in_files(split, chunk, start, self._in_file)

    def _partner(self, path: str) -> str:
        """Returns the path of the parallel file with the target texts."""
        assert self._source.endings is not None
        first, second = self._source.endings
        partner = path[: -len(first)] + second
        if not os.path.isfile(partner):
            raise UserError(
                f"`data.source.endings` must be those of pairs of files. Received: {printable_path(path)} without "
                f"{printable_path(os.path.basename(partner))}"
            )
        return partner

    def identity(self) -> Any:
        """Returns the state of the source as JSON, that of parallel files included; raises as in the base class."""
        found = super().identity()
        if self._source.endings is None:
            return found
        return [found, patterns.identity({split: list(map(self._partner, some)) for split, some in self.paths.items()})]

    def _in_file(self, path: str) -> Iterator[Pair]:
        name = printable_path(path)
        if sources.is_tfrecord(path):
            for example, features in sources.records(path):
                source, target = (
                    sources.one_bytes(example, features, feature)
                    for feature in (self._source.source_feature, self._source.target_feature)
                )
                group = self._source.group_feature
                yield Pair(example, source, target, sources.one_bytes(example, features, group) if group else b"")
            return
        if self._source.endings is None:
            for number, line in enumerate(lines(path), 1):
                texts = line.split(b"\t")
                if len(texts) == 2:
                    yield Pair(f"{name}:{number}", texts[0], texts[1])
                else:
                    yield Pair(f"{name}:{number}", line, b"", fault=f"has {len(texts) - 1} tabs, not one")
            return
        other = self._partner(path)
        both = itertools.zip_longest(lines(path), lines(other))
        for number, (ours, theirs) in enumerate(both, 1):
            if ours is None or theirs is None:
                shorter, longer = (name, other) if ours is None else (other, name)
                raise UserError(
                    f"{printable_path(longer)} must have as many lines as {printable_path(shorter)}, {number - 1}. "
                    "Received: more"
                )
            yield Pair(f"{name}:{number}", ours, theirs)

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the pairs of a chunk as `Record`s."""
        for pair in self.pairs(split, chunk=chunk):
            features = {_SOURCE: pair.source, _TARGET: pair.target, _GROUP: pair.group, _FAULT: pair.fault.encode()}
            yield Record(pair.name, features)

    def check_features(self, features: Mapping[str, Any]) -> None:
        """Raises UserError unless the features that the recipe names are texts of the data set."""
        import tensorflow as tf

        specs = {name: feature.get_tensor_spec() for name, feature in features.items()}
        texts = [name for name, spec in specs.items() if spec == tf.TensorSpec((), tf.string)]
        for key in ("source_feature", "target_feature", "group_feature"):
            name = getattr(self._source, key)
            if name is not None and name not in texts:
                raise UserError(
                    f"`data.source.{key}` must name a feature of {self._source.tfds} with texts: {', '.join(texts)} "
                    f"(of {', '.join(specs)}). Received: {name}"
                )


class RecordedReader(Recorded[PairSource], Reader):
    """Reader of pairs in records that `Reader.records` yielded."""

    def pairs(self, split: Split, start: int = 0, chunk: Chunk = None) -> Iterator[Pair]:
        """Yields the pairs of a split after the first `start`; `chunk` is ignored, as `Records.only` has chosen it."""
        for record in self._records.read(split, start):
            features: Mapping[str, Any] = record.features
            fault = features[_FAULT].decode()
            yield Pair(record.name, features[_SOURCE], features[_TARGET], features[_GROUP], fault)

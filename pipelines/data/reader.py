"""Finds the examples of a source in order. Nothing is read before a method is called."""

import abc
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from ikelos.pipelines.data import patterns, records, sources
from ikelos.pipelines.data.config import Source, Split
from ikelos.pipelines.data.preparation import Size
from ikelos.pipelines.data.records import Chunk, Record, Records

Section = TypeVar("Section", bound=Source)


class Reader(abc.ABC, Generic[Section]):
    """Base class of the readers of texts and of images."""

    suffixes: tuple[str, ...]
    """Suffixes of the files that can be read, in lower case, including those of TFRecords."""
    divisible: tuple[str, ...] = ()
    """Suffixes of files that can be divided: a single file with one of them is divided into the three splits."""

    def __init__(self, source: Section):
        """Keeps the recipe's section `source`."""
        self._source = source

    @functools.cached_property
    def paths(self) -> Mapping[Split, Sequence[str]]:
        """Files of each split; empty if the source is a data set.

        Raises:
            UserError: As `patterns.by_split`.
        """
        if self._source.files is None:
            return {}
        return patterns.by_split(self._source, self.suffixes, self.divisible, self.classed)

    @property
    def classed(self) -> tuple[str, ...]:
        """Suffixes of files whose class is the name of their folder."""
        return ()

    @functools.cached_property
    def builder(self) -> Any:
        """Builder of the prepared data set.

        Raises:
            UserError: If the data set or its config is unknown, it lacks a feature, or it cannot be prepared.
        """
        builder = sources.open_tfds(self._source)
        self.check_features(builder.info.features)
        return sources.prepared(self._source, builder)

    @abc.abstractmethod
    def check_features(self, features: Mapping[str, Any]) -> None:
        """Raises UserError if a data set does not have the features that the recipe names."""

    def identity(self) -> Any:
        """Returns the state of the source as JSON, which differs if the source may have other content.

        Raises:
            UserError: As `paths` and `builder`.
        """
        section = self._source.model_dump(mode="json", exclude={"allowed_faults"})
        if self._source.files is not None:
            return [section, patterns.identity(self.paths)]
        return [section, sources.tfds_identity(self._source, self.builder)]

    def chunks(self, split: Split) -> list[Chunk]:
        """Returns the chunks of a split in order: paths of files, or start and end in a data set; raises as `identity`.

        A file is never divided.
        """
        if self._source.files is not None:
            return records.groups(self.paths[split])
        number = sources.num_examples(self._source, self.builder, split)
        return records.ranges(number, sources.num_bytes(self._source, self.builder, split))

    @abc.abstractmethod
    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the examples of a chunk as they are read, in the same order each time; raises as `identity`."""

    def about(self) -> dict[str, Any]:
        """Returns, as JSON, what preparing the records needs to know of the source besides the records."""
        return {}

    def size(self, split: Split) -> Size:
        """Returns how much data a split has."""
        if self._source.files is not None:
            return Size(sum(map(os.path.getsize, self.paths[split])), "bytes")
        return Size(sources.num_examples(self._source, self.builder, split), "examples")

    def in_files(self, paths: Sequence[str], start: int) -> Iterator[tuple[str, Any]]:
        """Yields the examples in files after the first `start`: `(path, None)`, or `(name, features)` in a TFRecord."""
        for path in paths:
            if sources.is_tfrecord(path):
                for name, features in sources.records(path):
                    if start:
                        start -= 1
                    else:
                        yield name, features
            elif start:
                start -= 1
            else:
                yield path, None


class Recorded(Reader[Section]):
    """Base class, before a reader itself, of the one that reads the records that the reader has yielded."""

    def __init__(self, source: Section, records: Records):
        """Keeps the recipe's section `source` and the records."""
        super().__init__(source)
        self._records = records

    def identity(self) -> Any:
        """Returns the hashes of the records."""
        return self._records.identity

    def size(self, split: Split) -> Size:
        """Returns the bytes of a split."""
        return Size(self._records.size(split), "bytes")

"""Finds the examples of a source, one after the other; nothing is read before a method is called."""

import abc
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from ikelos.pipelines.data import patterns, sources
from ikelos.pipelines.data.config import Source, Split
from ikelos.pipelines.data.preparation import Size

Section = TypeVar("Section", bound=Source)


class Reader(abc.ABC, Generic[Section]):
    """What readers of texts and of images share."""

    suffixes: tuple[str, ...]
    """Of the files that can be read, in lower case, with those of TFRecords."""
    divisible: tuple[str, ...] = ()
    """Of files of which one alone is divided into the three splits."""

    def __init__(self, source: Section):
        """Takes the recipe's section."""
        self._source = source

    @functools.cached_property
    def paths(self) -> Mapping[Split, Sequence[str]]:
        """The files of each split; none of a data set.

        Raises:
            UserError: As of `patterns.by_split`.
        """
        return {} if self._source.files is None else patterns.by_split(self._source, self.suffixes, self.divisible)

    @functools.cached_property
    def builder(self) -> Any:
        """Of the data set, prepared.

        Raises:
            UserError: For an unknown data set, config or split, or a feature that it does not have.
        """
        builder = sources.open_tfds(self._source)
        self.check_features(builder.info.features)
        return sources.prepared(self._source, builder)

    @abc.abstractmethod
    def check_features(self, features: Mapping[str, Any]) -> None:
        """Raises UserError if a data set does not have the features that the recipe names."""

    def identity(self) -> Any:
        """What tells one state of the source from another, JSON; errors as of `paths` and `builder`."""
        section = self._source.model_dump(mode="json", exclude={"allowed_faults"})
        if self._source.files is not None:
            return [section, patterns.identity(self.paths)]
        return [section, sources.tfds_identity(self._source, self.builder)]

    def size(self, split: Split) -> Size:
        """How much there is to read of a split."""
        if self._source.files is not None:
            return Size(sum(map(os.path.getsize, self.paths[split])), "bytes")
        return Size(sources.num_examples(self._source, self.builder, split), "examples")

    def in_files(self, split: Split, start: int) -> Iterator[tuple[str, Any]]:
        """The examples behind the first `start` in files: the path, and None; or of one in a TFRecord a name and its
        features.
        """
        for path in self.paths[split]:
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

"""Reads files of which each line is an example, and divides a single one among the splits."""

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from ikelos.pipelines.data import reader
from ikelos.pipelines.data.config import Shares, Split
from ikelos.pipelines.data.patterns import drawn_split, printable_path
from ikelos.pipelines.data.preparation import Size
from ikelos.pipelines.data.reader import Section
from ikelos.pipelines.errors import UserError

TABLES = (".tsv", ".tsv.gz")
"""Suffixes of tables, whose columns are divided by tabs."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Example(Protocol):
    """An example of a line."""

    @property
    def key(self) -> bytes:
        """Bytes whose hash decides the split, if a single file is divided."""


AnyExample = TypeVar("AnyExample", bound=Example)


class LineReader(reader.Reader[Section]):
    """Base class of the readers of examples that are lines of files."""

    def size(self, split: Split) -> Size:
        """Returns how much data a split has; about how much, if one file is divided."""
        whole = super().size(split)
        if not self._is_divided:
            return whole
        shares = self._source.splits
        assert isinstance(shares, Shares)
        held_out = {"validation": shares.validation, "test": shares.test}
        return Size(round(whole.number * held_out.get(split, 1 - sum(held_out.values()))), whole.unit)

    @property
    def _is_divided(self) -> bool:
        """Whether the lines of a single file are divided into the splits."""
        return isinstance(self._source.splits, Shares) and self.paths["train"] == self.paths["test"]

    def _in_files(
        self, split: Split, paths: list[str] | None, start: int, in_file: Callable[[str], Iterator[AnyExample]]
    ) -> Iterator[AnyExample]:
        """Yields the examples of a split, or of some of its files, after the first `start`."""
        found: Iterator[AnyExample] = itertools.chain.from_iterable(map(in_file, paths or self.paths[split]))
        shares = self._source.splits
        if self._is_divided:
            assert isinstance(shares, Shares)
            found = (example for example in found if drawn_split(example.key, shares) == split)
        yield from itertools.islice(found, start, None)


def lines(path: str) -> Iterator[bytes]:
    """Yields the lines of a text file without their ends.

    Raises:
        UserError: If the file cannot be unpacked.
        OSError: If the file cannot be opened or read.
    """
    opened: Any = gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb")  # noqa: SIM115
    try:
        with opened as file:
            for number, line in enumerate(file):
                yield (line if number else line.removeprefix(_BYTE_ORDER_MARK)).rstrip(b"\r\n")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{printable_path(path)} cannot be unpacked: {error}") from None

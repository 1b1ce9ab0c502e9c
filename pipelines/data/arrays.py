"""Preparation of arrays in memory, for examples that are computed rather than read."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.data.preparation import Preparation, Size
from ikelos.pipelines.data.records import Chunk, Record, Records, ranges
from ikelos.pipelines.data.store import Column
from ikelos.pipelines.data.writing import Sink
from ikelos.pipelines.preprocessing import Preprocessing

Columns = Mapping[str, np.ndarray]


class Arrays(Preparation[Preprocessing]):
    """Preparation of arrays `[N,...]`, one per column, with the same dtypes and shapes in all splits.

    There is nothing to learn. An example's name is its index.
    """

    def __init__(self, name: str, splits: Mapping[Split, Columns]):
        """Keeps the data's name and the columns of each split."""
        self.name = name
        self._splits = splits

    def identity(self) -> Any:
        """Returns the arrays' dtypes, shapes and SHA-256 checksums."""

        def about(values):
            return [values.dtype.name, values.shape, hashlib.sha256(values.tobytes()).hexdigest()]

        return {split: {name: about(values) for name, values in self._splits[split].items()} for split in SPLITS}

    def chunks(self, split: Split) -> list[Chunk]:
        """Returns the chunks of a split: their starts and ends."""
        return ranges(self.size(split).number, sum(values.nbytes for values in self._splits[split].values()))

    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the examples of a chunk, with the bytes of their values."""
        columns = self._splits[split]
        for index in range(*chunk):
            yield Record(str(index), {name: values[index].tobytes() for name, values in columns.items()})

    def from_records(self, records: Records) -> "Arrays":
        """Returns this preparation with the values of these examples."""
        splits: dict[Split, Columns] = {}
        for split, columns in self._splits.items():
            found = list(records.read(split))
            splits[split] = {
                name: np.frombuffer(b"".join(record.features[name] for record in found), values.dtype).reshape(  # type: ignore[misc]
                    len(found), *values.shape[1:]
                )
                for name, values in columns.items()
            }
        return Arrays(self.name, splits)

    def learn(self, progress: Callable[[int], None]) -> Preprocessing:
        """Returns an empty preprocessing."""
        return Preprocessing()

    def load(self, folder: Path) -> Preprocessing:
        """Returns an empty preprocessing."""
        return Preprocessing()

    def columns(self, learned: Preprocessing) -> Mapping[str, Column]:
        """Returns the arrays' dtypes and shapes."""
        return {name: Column(values.dtype.name, values.shape[1:]) for name, values in self._splits["train"].items()}

    def size(self, split: Split) -> Size:
        """Returns the number of examples."""
        return Size(len(next(iter(self._splits[split].values()))), "examples")

    def write(self, learned: Preprocessing, split: Split, writer: Sink) -> None:
        """Writes the examples of a split."""
        for index in range(writer.cursor or 0, self.size(split).number):
            writer.end(str(index), **{name: values[index] for name, values in self._splits[split].items()})
            writer.read(index + 1, 1)

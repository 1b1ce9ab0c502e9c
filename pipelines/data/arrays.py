"""Examples that are made rather than read: arrays in memory, prepared like all other data."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.data.preparation import Preparation, Size
from ikelos.pipelines.data.store import Column
from ikelos.pipelines.data.writing import Writer
from ikelos.pipelines.preprocessing import Preprocessing

Columns = Mapping[str, np.ndarray]


class Arrays(Preparation[Preprocessing]):
    """Columns of each split, `[N,...]` each, of the same types and shapes in all splits; nothing is learned from them.

    An example's name is its number.
    """

    def __init__(self, name: str, splits: Mapping[Split, Columns]):
        """Takes the data's name, and the columns of each split."""
        self.name = name
        self._splits = splits

    def identity(self) -> Any:
        """The arrays' types and shapes, and their values' sums."""

        def about(values):
            return [values.dtype.name, values.shape, hashlib.sha256(values.tobytes()).hexdigest()]

        return {split: {name: about(values) for name, values in self._splits[split].items()} for split in SPLITS}

    def learn(self, progress: Callable[[int], None]) -> Preprocessing:
        """Nothing."""
        return Preprocessing()

    def load(self, folder: Path) -> Preprocessing:
        """Nothing."""
        return Preprocessing()

    def columns(self, learned: Preprocessing) -> Mapping[str, Column]:
        """The arrays' types and shapes."""
        return {name: Column(values.dtype.name, values.shape[1:]) for name, values in self._splits["train"].items()}

    def size(self, split: Split) -> Size:
        """The examples."""
        return Size(len(next(iter(self._splits[split].values()))), "examples")

    def write(self, learned: Preprocessing, split: Split, writer: Writer) -> None:
        """Writes them."""
        for index in range(writer.cursor or 0, self.size(split).number):
            writer.end(str(index), **{name: values[index] for name, values in self._splits[split].items()})
            writer.read(index + 1, 1)

"""Prepared examples on the disk, mapped into memory: read by index, by NumPy and in the graph, however many there are.

A store is the folder of one split. Each column is a file of numbers without a header, `<column>.bin`; where examples
have different counts of them, `<column>.ends.bin` says where each one's numbers end (int64 `[N+1]`, the first is 0).
`manifest.json` says how the files are read, and has the SHA-256 sums of all of them, part by part (`writing`).
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import mmap
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.config import Split
from ikelos.pipelines.errors import UserError

MANIFEST = "manifest.json"
ID = "id"
"""The column of the examples' names: their UTF-8 bytes."""
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Of Linux; Python has its name from 3.13 on."""
_BLOCK = 1 << 22
"""Bytes that are read at once to check their sum."""


@dataclasses.dataclass(frozen=True)
class Column:
    """What each example has in a column.

    Attributes:
        dtype: NumPy's name of the numbers' type, in the machine's byte order.
        shape: Of an example's value; of each item of it, if `ragged`.
        ragged: Whether each example has a number of items of its own: `[n,*shape]`.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    ragged: bool = False

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(map(operator.index, self.shape)))  # JSON has no numbers of NumPy

    @property
    def item_bytes(self) -> int:
        """Of a value, or of an item of a ragged one."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))


TEXT = Column("uint8", ragged=True)
"""A column of text in UTF-8."""


@dataclasses.dataclass(frozen=True)
class Ragged(Sequence[np.ndarray]):
    """Arrays of different lengths, one behind the other; a mapped one takes no memory of its own.

    Attributes:
        values: All items, `[total,...]`.
        ends: int64 `[N+1]`: array `i` lies from `ends[i]` to `ends[i+1]`.
    """

    values: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Ragged:
        """In memory, of at least one array."""
        return cls(np.concatenate(arrays), np.cumsum([0, *map(len, arrays)], dtype=np.int64))

    def __len__(self) -> int:
        """N."""
        return len(self.ends) - 1

    def __getitem__(self, index):
        """One array."""
        place = range(len(self))[index]
        return self.values[self.ends[place] : self.ends[place + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """int64 `[N]`."""
        return np.diff(self.ends)

    def head(self, most: int) -> Ragged:
        """The first items, at most so many; the array that they end in is cut."""
        if self.ends[-1] <= most:
            return self
        return Ragged(self.values[:most], np.append(self.ends[: np.searchsorted(self.ends, most)], most))


@dataclasses.dataclass(frozen=True)
class Ids(Sequence[str]):
    """The names of the examples."""

    texts: Ragged

    def __len__(self) -> int:
        """N."""
        return len(self.texts)

    def __getitem__(self, index):
        """One name."""
        return self.texts[index].tobytes().decode("utf-8")


@dataclasses.dataclass(frozen=True)
class Store:
    """The examples of one split.

    Attributes:
        folder: Where they lie.
        columns: By name; `id` is the examples' name, `label` the index of their class if they have any.
        examples: N.
        parts: What was written one after the other, with the sum of each file's part.
        skipped: How many faulty examples were left out, by the kind of fault.
        faults: The first of these: a line each that names it.
    """

    folder: Path
    columns: Mapping[str, Column]
    examples: int
    parts: Sequence[Mapping[str, Any]]
    skipped: Mapping[str, int]
    faults: Sequence[str]

    @classmethod
    def open(cls, folder: Path, check: bool = True) -> Store:
        """Opens a store.

        Args:
            folder: Where it lies.
            check: Whether all its files are read and their sums compared: at 1 to 2 GB a second.

        Raises:
            UserError: If it is damaged.
        """
        try:
            about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            columns = {name: column_of(values) for name, values in about.pop("columns").items()}
            store = cls(folder, columns, **about)
            ends = store.parts[-1]["ends"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise UserError(
                f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error}): delete {folder.parent}."
            ) from error
        for name, end in ends.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != end:
                found = "is missing" if size is None else f"has {size:,} bytes, not {end:,}"
                raise UserError(f"{path} is damaged (it {found}): delete {folder.parent}.")
        bad = first_damage(folder, store.parts) if check else None
        if bad is not None:
            raise UserError(f"{folder / bad[1]} is damaged (its SHA-256 sum is another): delete {folder.parent}.")
        return store

    def __len__(self) -> int:
        """N."""
        return self.examples

    @property
    def ids(self) -> Ids:
        """The names of the examples."""
        return Ids(self.ragged(ID))

    @property
    def labels(self) -> np.ndarray | None:
        """int64 `[N]`, the index of each example's class; None without classes."""
        return self.array("label") if "label" in self.columns else None

    def array(self, name: str) -> np.ndarray:
        """A column `[N,*shape]`, mapped: not to be written to."""
        column = self.columns[name]
        return _mapped(self.folder / f"{name}.bin", column).reshape(self.examples, *column.shape)

    def ragged(self, name: str) -> Ragged:
        """A ragged column, mapped: not to be written to."""
        values = _mapped(self.folder / f"{name}.bin", self.columns[name])
        return Ragged(values, _mapped(self.folder / f"{name}.ends.bin", Column("int64")))

    def sha256(self) -> str:
        """Of all that it holds."""
        content = {
            "columns": {name: dataclasses.asdict(column) for name, column in self.columns.items()},
            "examples": self.examples,
            "sums": [part["sums"] for part in self.parts],
        }
        return fingerprint.sha256([json.dumps(content, sort_keys=True).encode()])

    def bytes(self) -> int:
        """Of all columns on the disk."""
        return sum(path.stat().st_size for path in self.folder.glob("*.bin"))

    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "examples": self.examples,
            "bytes": self.bytes(),
            "skipped": dict(self.skipped),
            "faults": list(self.faults),
            "sha256": self.sha256(),
        }


Splits = Mapping[Split, Store]
"""The stores of a data set by the names of the splits."""


def column_of(values: Mapping[str, Any]) -> Column:
    """A column as a manifest has it."""
    return Column(values["dtype"], tuple(values["shape"]), values["ragged"])


def first_damage(folder: Path, parts: Sequence[Mapping[str, Any]]) -> tuple[int, str] | None:
    """The index of the first part whose bytes have another sum than was written down, and its file's name."""
    starts = dict.fromkeys(parts[0]["ends"], 0) if parts else {}
    ranges = []
    for index, part in enumerate(parts):
        ranges += [(index, name, starts[name], end, part["sums"][name]) for name, end in part["ends"].items()]
        starts = part["ends"]

    def differs(found):
        _, name, start, end, expected = found
        return sum_of(folder / name, start, end) != expected

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (index, name, *_), bad in zip(ranges, pool.map(differs, ranges), strict=True):
            if bad:
                return index, name
    return None


def sum_of(path: Path, start: int, end: int) -> str:
    """SHA-256 of a file's bytes from `start` to before `end`, or to the file's end if it is shorter."""
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while start < end and (block := file.read(min(_BLOCK, end - start))):
                digest.update(block)
                start += len(block)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def tensor(values: np.ndarray) -> tf.Tensor:
    """A tensor on the host: of a mapped column, one that shares its memory, of any other array a copy.

    A function refers to it, where an array would be copied into its graph.
    """
    with tf.device("CPU:0"):
        if _is_mapped(values):
            return tf.experimental.dlpack.from_dlpack(values.__dlpack__())
        return tf.constant(values)


def _mapped(path: Path, column: Column) -> np.ndarray:
    """All of a file, `[n,*shape]`. Private to the process, as TensorFlow shares no read-only memory."""
    if not path.stat().st_size:
        return np.empty([0, *column.shape], column.dtype)  # there are no bytes to map
    with path.open("rb") as file:
        # Without a reserve, as the kernel refuses private mappings larger than all memory, though none is written to.
        flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
        mapped = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return np.ndarray([len(mapped) // column.item_bytes, *column.shape], column.dtype, buffer=mapped)


def _is_mapped(values: np.ndarray) -> bool:
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)

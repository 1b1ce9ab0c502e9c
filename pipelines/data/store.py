"""Stores of prepared examples: files that are mapped into memory and read by index, from NumPy or in the graph.

A store is the folder of one split, and may be larger than memory. Each column is a file of numbers without a header,
`<column>.bin`. A ragged column also has `<column>.ends.bin`, the end of each example's numbers (int64 `[N+1]`, of which
the first is 0). `manifest.json` describes the columns and has the SHA-256 checksums of all files, part by
part, as the module `writing` describes.
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
"""Column with the examples' names, as UTF-8 bytes."""
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Flag of Linux's mmap; Python has a name for it since 3.13."""
_BLOCK = 1 << 22
"""Bytes that are read at a time to compute a checksum."""


@dataclasses.dataclass(frozen=True)
class Column:
    """Type and shape of a column's values.

    Attributes:
        dtype: NumPy's name of the dtype, in the machine's byte order.
        shape: Shape of an example's value, or of one item if `ragged`.
        ragged: Whether the number of items, n in `[n,*shape]`, differs between examples.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    ragged: bool = False

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(map(operator.index, self.shape)))  # JSON cannot write NumPy's integers

    @property
    def item_bytes(self) -> int:
        """Bytes of a value, or of one item if ragged."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))


TEXT_COLUMN = Column("uint8", ragged=True)
"""A column of text in UTF-8."""


def text_value(text: str | bytes) -> np.ndarray:
    """Returns a text, or its bytes in UTF-8, as a value of a `TEXT_COLUMN`."""
    return np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8)


@dataclasses.dataclass(frozen=True)
class Ragged(Sequence[np.ndarray]):
    """Sequence of arrays of different lengths, stored one after the other; a mapped one takes no more memory.

    Attributes:
        values: Items of all arrays, `[total,...]`.
        ends: int64 `[N+1]`; array `i` is `values[ends[i]:ends[i+1]]`.
    """

    values: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Ragged:
        """Concatenates at least one array, in memory."""
        return cls(np.concatenate(arrays), np.cumsum([0, *map(len, arrays)], dtype=np.int64))

    def __len__(self) -> int:
        """Returns N."""
        return len(self.ends) - 1

    def __getitem__(self, index):
        """Returns one array."""
        place = range(len(self))[index]
        return self.values[self.ends[place] : self.ends[place + 1]]

    def __add__(self, other: Ragged) -> Ragged:
        """Returns these arrays and then the others, in memory."""
        ends = np.concatenate([self.ends, self.ends[-1] + other.ends[1:]])
        return Ragged(np.concatenate([self.values, other.values]), ends)

    @property
    def lengths(self) -> np.ndarray:
        """Length of each array, int64 `[N]`."""
        return np.diff(self.ends)

    def head(self, most: int) -> Ragged:
        """Returns the arrays of the first `most` items; the last array is cut off there."""
        if self.ends[-1] <= most:
            return self
        return Ragged(self.values[:most], np.append(self.ends[: np.searchsorted(self.ends, most)], most))


@dataclasses.dataclass(frozen=True)
class Ids(Sequence[str]):
    """The names of the examples."""

    texts: Ragged

    def __len__(self) -> int:
        """Returns N."""
        return len(self.texts)

    def __getitem__(self, index):
        """Returns one name."""
        return self.texts[index].tobytes().decode("utf-8")


@dataclasses.dataclass(frozen=True)
class Store:
    """The examples of one split.

    Attributes:
        folder: Folder of the files.
        columns: Columns by name; `id` is the example's name, `label` the index of its class if there are classes.
        examples: Number of examples, N.
        parts: Parts in the order in which they were written, each with the end of its range in each file and the
            SHA-256 checksums of these ranges.
        skipped: Number of faulty examples that were left out, by kind of fault.
        faults: Descriptions of the first faulty examples, one line each.
        empty: Number of empty examples that were left out.
    """

    folder: Path
    columns: Mapping[str, Column]
    examples: int
    parts: Sequence[Mapping[str, Any]]
    skipped: Mapping[str, int]
    faults: Sequence[str]
    empty: int

    @classmethod
    def open(cls, folder: Path, check: bool = True) -> Store:
        """Opens a store.

        Args:
            folder: Folder of the store.
            check: Whether to read all files and compare their checksums, at 1 to 2 GB a second.

        Raises:
            UserError: If the store is damaged.
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
            raise UserError(f"{folder / bad[1]} is damaged (its SHA-256 checksum differs): delete {folder.parent}.")
        return store

    def __len__(self) -> int:
        """Returns N."""
        return self.examples

    @property
    def ids(self) -> Ids:
        """The names of the examples."""
        return Ids(self.ragged(ID))

    @property
    def labels(self) -> np.ndarray | None:
        """Index of each example's class, int64 `[N]`; None without classes."""
        return self.array("label") if "label" in self.columns else None

    def array(self, name: str) -> np.ndarray:
        """Returns a column `[N,*shape]`, mapped; it must not be written to."""
        column = self.columns[name]
        return _mapped(self.folder / f"{name}.bin", column).reshape(self.examples, *column.shape)

    def ragged(self, name: str) -> Ragged:
        """Returns a ragged column, mapped; it must not be written to."""
        values = _mapped(self.folder / f"{name}.bin", self.columns[name])
        return Ragged(values, _mapped(self.folder / f"{name}.ends.bin", Column("int64")))

    def texts(self, name: str, most: int | None = None) -> list[str]:
        """Returns the texts of a column, or the first `most` of them."""
        values = self.ragged(name)
        count = len(self) if most is None else min(most, len(self))
        return [values[index].tobytes().decode("utf-8") for index in range(count)]

    def sha256(self) -> str:
        """Returns the SHA-256 checksum of the store's content."""
        content = {
            "columns": {name: dataclasses.asdict(column) for name, column in self.columns.items()},
            "examples": self.examples,
            "sums": [part["sums"] for part in self.parts],
        }
        return fingerprint.sha256([json.dumps(content, sort_keys=True).encode()])

    def bytes(self) -> int:
        """Returns the size of all columns on the disk in bytes."""
        return sum(path.stat().st_size for path in self.folder.glob("*.bin"))

    def facts(self) -> dict[str, Any]:
        """Returns the figures of the store for a report."""
        return {
            "examples": self.examples,
            "bytes": self.bytes(),
            "skipped": dict(self.skipped),
            "faults": list(self.faults),
            "empty": self.empty,
            "sha256": self.sha256(),
        }


Splits = Mapping[Split, Store]
"""The stores of a data set by the names of the splits."""


def column_of(values: Mapping[str, Any]) -> Column:
    """Returns the column that an entry of a manifest describes."""
    return Column(values["dtype"], tuple(values["shape"]), values["ragged"])


def first_damage(folder: Path, parts: Sequence[Mapping[str, Any]]) -> tuple[int, str] | None:
    """Returns the index of the first part whose checksum differs from the recorded one, and the name of its file.

    If all checksums agree, the result is None.
    """
    starts = dict.fromkeys(parts[0]["ends"], 0) if parts else {}
    ranges = []
    for index, part in enumerate(parts):
        ranges += [(index, name, starts[name], end, part["sums"][name]) for name, end in part["ends"].items()]
        starts = part["ends"]

    def differs(found):
        _, name, start, end, expected = found
        return checksum_of(folder / name, start, end) != expected

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (index, name, *_), bad in zip(ranges, pool.map(differs, ranges), strict=True):
            if bad:
                return index, name
    return None


def checksum_of(path: Path, start: int, end: int) -> str:
    """Returns the SHA-256 checksum of the bytes `[start, end)` of a file, up to its end; "" if there is no file."""
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
    """Returns a tensor on the host, which shares the memory of a mapped column and is a copy of any other array.

    A `tf.function` can capture it without a copy; an array would become a constant of the graph.
    """
    with tf.device("CPU:0"):
        if _is_mapped(values):
            return tf.experimental.dlpack.from_dlpack(values.__dlpack__())
        return tf.constant(values)


def _mapped(path: Path, column: Column) -> np.ndarray:
    """Returns a whole file, `[n,*shape]`. The mapping is private, as TensorFlow does not share read-only memory."""
    if not path.stat().st_size:
        return np.empty([0, *column.shape], column.dtype)  # there are no bytes to map
    with path.open("rb") as file:
        # Without MAP_NORESERVE, the kernel refuses private mappings larger than all memory, even if never written to.
        flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
        mapped = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return np.ndarray([len(mapped) // column.item_bytes, *column.shape], column.dtype, buffer=mapped)


def _is_mapped(values: np.ndarray) -> bool:
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)

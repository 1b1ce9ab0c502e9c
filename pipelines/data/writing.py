"""Writes a store part by part, so that a killed process can resume after the last complete part.

After each part, all files are flushed to the disk, and a line of `journal.jsonl` records their lengths, the checksums
of their new bytes, and the position in the source at which to continue. To resume, all files are first cut back to the
last complete part.

Several processes together write a store by `Recorder`s, each for a chunk of the examples: these keep the calls in
files, which one `Writer` repeats in order. So the store does not depend on who prepared its examples.
"""

import collections
import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ikelos.pipelines.data.store import ID, MANIFEST, TEXT_COLUMN, Column, first_damage, text_value
from ikelos.serving import files

PART_BYTES = 1 << 26
"""Smallest size of a part in bytes, except for the last one. The checksums of a store depend on it."""
_JOURNAL = "journal.jsonl"
_NAMED = 20
"""Number of faults that are listed; the others are only counted."""

Cursor = Any
"""Position in the source at which to continue reading, as JSON in a format that the reader chooses."""
_READ = "read"


class Writer:
    """Writer that appends examples to the files of a store.

    Attributes:
        cursor: Position in the source at which to continue reading; None at the beginning.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Column], progress: Callable[[int], None]):
        """Resumes a store in `folder`, or begins one.

        Args:
            folder: Folder of the store; it must exist.
            columns: The columns by name, without `id`.
            progress: Called with each amount of the source that was read.

        Raises:
            OSError: If a file cannot be read or written.
        """
        self._folder, self._columns = folder, {ID: TEXT_COLUMN, **columns}
        self._progress = progress
        self._parts = _whole_parts(folder, self._names())
        last = self._parts[-1] if self._parts else {}
        self.cursor = last.get("cursor")
        self._examples = last.get("examples", 0)
        self._read = last.get("read", 0)
        self._skipped = collections.Counter(last.get("skipped", {}))
        self._faults = list(last.get("faults", []))
        self._empty = last.get("empty", 0)
        self._ends = dict(last.get("ends", {}))
        self._journal = (folder / _JOURNAL).open("a", encoding="utf-8")
        self._files = {name: (folder / name).open("ab") for name in self._names()}
        self._digests = {name: hashlib.sha256() for name in self._names()}
        self._new_bytes = 0
        self._items = {
            name: self._ends.get(f"{name}.bin", 0) // column.item_bytes
            for name, column in self._columns.items()
            if column.ragged
        }
        if not self._parts:
            for name in self._items:
                self._put(f"{name}.ends.bin", np.zeros(1, np.int64))
        progress(self._read)

    def extend(self, name: str, items: np.ndarray) -> None:
        """Adds items to a ragged column of the current example.

        Args:
            name: Name of the column.
            items: `[n,*shape]`, with the shape of the column's items.

        Raises:
            KeyError: If the store has no such ragged column.
            ValueError: If the items have another shape than the column's, or its dtype cannot represent them.
            OSError: If a file cannot be written.
        """
        if np.shape(items)[1:] != self._columns[name].shape:
            raise ValueError(
                f"items of `{name}` must have the shape {self._columns[name].shape}. Received: {np.shape(items)[1:]}"
            )
        self._items[name] += len(items)
        self._put(f"{name}.bin", self._converted(name, items))

    def end(self, name: str, **values: Any) -> None:
        """Ends the current example.

        Args:
            name: Name of the example.
            **values: The value of each column, and the last items of ragged columns, if any.

        Raises:
            KeyError: If the store has no column of a value's name.
            ValueError: If a value is missing or has another shape than its column, or the column's dtype cannot
                represent it.
            OSError: If a file cannot be written.
        """
        missing = [key for key, column in self._columns.items() if not column.ragged and key not in values]
        if missing:
            raise ValueError(f"an example must have a value in every column. Received: none in {', '.join(missing)}")
        self._examples += 1
        for key, value in {ID: text_value(name), **values}.items():
            column = self._columns[key]
            if column.ragged:
                self.extend(key, value)
            elif np.shape(value) != column.shape:
                raise ValueError(f"`{key}` must have the shape {column.shape}. Received: {np.shape(value)}")
            else:
                self._put(f"{key}.bin", self._converted(key, value))
        for key, count in self._items.items():
            self._put(f"{key}.ends.bin", np.array([count], np.int64))

    def skip(self, name: str, kind: str, why: str) -> None:
        """Records a faulty example, which is left out.

        Args:
            name: Name of the example.
            kind: Kind of fault, by which faults are counted.
            why: Description of the fault that continues a sentence after the name, such as `is not an image`.
        """
        self._skipped[kind] += 1
        if len(self._faults) < _NAMED:
            self._faults.append(f"{name} {why}")

    def skip_empty(self) -> None:
        """Counts an empty example, which is left out but is not a fault."""
        self._empty += 1

    def read(self, cursor: Cursor, size: int) -> None:
        """Records that `size` more of the source was read, up to `cursor`; ends the part if it is large enough.

        Raises:
            OSError: If a file cannot be written.
        """
        self.cursor = cursor
        self._read += size
        self._progress(size)
        if self._new_bytes >= PART_BYTES:
            self._end_part()

    def finish(self) -> None:
        """Ends the last part, writes the manifest and closes the files.

        Raises:
            OSError: If a file cannot be written.
        """
        if self._new_bytes or not self._parts:
            self._end_part()
        manifest = {
            "columns": {name: dataclasses.asdict(column) for name, column in self._columns.items()},
            "examples": self._examples,
            "parts": [{"ends": part["ends"], "sums": part["sums"]} for part in self._parts],
            "skipped": self._skipped,
            "faults": self._faults,
            "empty": self._empty,
        }
        files.write(self._folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        self.close()
        (self._folder / _JOURNAL).unlink()

    def close(self) -> None:
        """Closes the files; data written since the end of the last part is lost."""
        for file in (self._journal, *self._files.values()):
            file.close()

    def _names(self) -> list[str]:
        return [
            file
            for name, column in self._columns.items()
            for file in ([f"{name}.bin", f"{name}.ends.bin"] if column.ragged else [f"{name}.bin"])
        ]

    def _converted(self, name: str, values: Any) -> np.ndarray:
        """Returns values in the dtype of their column, which must represent them exactly."""
        found = np.asarray(values)
        converted = found.astype(self._columns[name].dtype)
        if not np.array_equal(converted, found, equal_nan=found.dtype.kind == "f"):
            raise ValueError(f"`{name}` must fit {self._columns[name].dtype}. Received: {found}")
        return converted

    def _put(self, name: str, values: np.ndarray) -> None:
        content = values.tobytes()
        self._files[name].write(content)
        self._digests[name].update(content)
        self._ends[name] = self._ends.get(name, 0) + len(content)
        self._new_bytes += len(content)

    def _end_part(self) -> None:
        for file in self._files.values():
            _to_disk(file)
        part = {
            "ends": {name: self._ends.get(name, 0) for name in self._files},
            "sums": {name: digest.hexdigest() for name, digest in self._digests.items()},
            "cursor": self.cursor,
            "examples": self._examples,
            "read": self._read,
            "skipped": self._skipped,
            "faults": self._faults,
            "empty": self._empty,
        }
        self._journal.write(json.dumps(part) + "\n")
        _to_disk(self._journal)
        self._parts.append(part)
        self._digests = {name: hashlib.sha256() for name in self._files}
        self._new_bytes = 0


class Recorder:
    """Writer that keeps its calls in a file, for `repeat`. Its methods are those of `Writer`.

    Attributes:
        cursor: None, for the beginning.
    """

    cursor: Cursor = None

    def __init__(self, file: BinaryIO):
        """Keeps the calls in this file."""
        self._file = file

    def extend(self, name: str, items: np.ndarray) -> None:
        """Keeps the items of a ragged column."""
        self._keep("extend", [name], {"items": items})

    def end(self, name: str, **values: Any) -> None:
        """Keeps the end of an example."""
        self._keep("end", [name], values)

    def skip(self, name: str, kind: str, why: str) -> None:
        """Keeps a faulty example."""
        self._keep("skip", [name, kind, why])

    def skip_empty(self) -> None:
        """Keeps an empty example."""
        self._keep("skip_empty", [])

    def read(self, cursor: Cursor, size: int) -> None:
        """Keeps the size of what was read; `repeat` gives it another cursor."""
        self._keep(_READ, [None, size])

    def _keep(self, method: str, arguments: list[Any], values: Mapping[str, Any] | None = None) -> None:
        """Writes a line of JSON about a call, and the bytes of its arrays after it."""
        arrays = {key: np.asarray(value) for key, value in (values or {}).items()}
        about = {key: [array.dtype.str, array.shape] for key, array in arrays.items()}
        self._file.write(json.dumps([method, arguments, about]).encode() + b"\n")
        for array in arrays.values():
            self._file.write(array.tobytes())


Sink = Writer | Recorder
"""What a preparation writes its examples to."""


def repeat(path: Path, writer: Writer, chunk: int, start: int) -> None:
    """Repeats the calls that a `Recorder` kept.

    Args:
        path: File of the calls.
        writer: Writer that is called; its cursors become `[chunk, number of calls of this chunk]`.
        chunk: Number of the chunk.
        start: Number of calls to leave out.

    Raises:
        ValueError: As `Writer.extend` and `Writer.end`.
        OSError: If a file cannot be read or written.
    """
    with path.open("rb") as file:
        for number, line in enumerate(iter(file.readline, b""), 1):
            method, arguments, about = json.loads(line)
            values = {key: _array(file, *kind) for key, kind in about.items()}
            if number > start:
                if method == _READ:
                    arguments[0] = [chunk, number]
                getattr(writer, method)(*arguments, **values)


def _array(file: BinaryIO, dtype: str, shape: list[int]) -> np.ndarray:
    content = file.read(math.prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype).reshape(shape)


@contextlib.contextmanager
def writing(folder: Path, columns: Mapping[str, Column], progress: Callable[[int], None]) -> Iterator[Writer]:
    """Context manager that opens a `Writer` for a folder, created if missing, and closes it at the end.

    Call `finish` within the context; otherwise the store remains unfinished.

    Args:
        folder: Folder of the store.
        columns: The columns by name, without `id`.
        progress: Called with each amount of the source that was read.

    Raises:
        OSError: If a file cannot be read or written; with a note that names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        writer = Writer(folder, columns, progress)
        with contextlib.closing(writer):
            yield writer
    except OSError as error:
        error.add_note(f"while writing {folder}")
        raise


def _whole_parts(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """Returns the journal's records of the complete parts, and shortens all files to the end of the last one.

    The parts after the first whose bytes differ from the checksums in the journal are dropped too.

    Args:
        folder: Folder of the store.
        names: Names of the store's data files.
    """
    journal = folder / _JOURNAL
    parts: list[dict[str, Any]] = []
    for line in journal.read_bytes().splitlines(keepends=True) if journal.exists() else ():
        try:
            parts.append(json.loads(line))
        except ValueError:  # the process was killed in the middle of the line
            break
    bad = first_damage(folder, parts)
    parts = parts if bad is None else parts[: bad[0]]
    ends = parts[-1]["ends"] if parts else dict.fromkeys(names, 0)
    files.write(journal, "".join(json.dumps(part) + "\n" for part in parts))
    for name in names:
        with (folder / name).open("ab") as file:
            file.truncate(ends[name])
    return parts


def _to_disk(file: BinaryIO | Any) -> None:
    file.flush()
    os.fsync(file.fileno())

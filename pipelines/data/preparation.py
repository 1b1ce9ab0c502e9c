"""Prepares data once for all runs that use it: the fitted preprocessing, and a store of examples for each split.

Prepared data is kept in `$IKELOS_CACHE/data`, by default `~/.cache/ikelos/data`, in a folder whose name has a hash of
everything that determines it: the settings of the preparation, and the source's files with their sizes and
modification times. The folder may be deleted while no run uses it; the next run makes it again.
"""

import abc
import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import tensorflow as tf

from ikelos.pipelines.console import Progress
from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.data.records import Chunk, Record, Records
from ikelos.pipelines.data.store import MANIFEST, Column, Splits, Store, checksum_of
from ikelos.pipelines.data.writing import Sink, Writer, writing
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.serving import files

VERSION = 4
"""Version of the stores' format and of the code that writes them; with a new version all data is prepared again."""

LEARNED = "preprocessing.json"
"""File with the SHA-256 checksums of the files that the preprocessing wrote."""
EXAMPLES = "examples.png"
"""File with a picture of the first training examples; only for images."""

Learned = TypeVar("Learned", bound=Preprocessing)


@dataclasses.dataclass(frozen=True)
class Size:
    """Amount of data to read, for a progress bar.

    Attributes:
        number: Total amount.
        unit: Its unit in the plural: `bytes` or `examples`.
    """

    number: int
    unit: str

    def progress_of(self, num_bytes: int) -> int:
        """Returns how much of the total an example of this number of bytes is."""
        return 1 if self.unit == "examples" else num_bytes


class Preparation(abc.ABC, Generic[Learned]):
    """Base class of the code that turns a source into stores of examples. Nothing is read before a method is called.

    Attributes:
        name: Name of the data, for messages and for the folder.
        allowed_faults: Largest share of a split's examples that may be faulty; faulty examples are left out.
    """

    name: str
    allowed_faults: float = 0.0

    @abc.abstractmethod
    def identity(self) -> Any:
        """Returns everything that determines the prepared data, as JSON: the settings, and the state of the source.

        Raises:
            UserError: If the source does not exist or cannot be prepared.
        """

    @abc.abstractmethod
    def learn(self, progress: Callable[[int], None]) -> Learned:
        """Fits the preprocessing to the training split; calls `progress` with each amount that it has read.

        Raises:
            UserError: If the preprocessing cannot be fitted to the source.
        """

    @abc.abstractmethod
    def load(self, folder: Path) -> Learned:
        """Loads the preprocessing that was saved in `folder`, without reading any data."""

    def reusing(self, folder: Path) -> "Preparation[Learned]":
        """Returns a preparation that reuses the preprocessing in `folder`, as far as a trained model depends on it.

        The base class reuses nothing, so the preprocessing is fitted again.

        Raises:
            UserError: If the reused parts do not agree with the settings.
        """
        return self

    @abc.abstractmethod
    def chunks(self, split: Split) -> list[Chunk]:
        """Returns the chunks of a split in their order, which `records` reads one by one."""

    @abc.abstractmethod
    def records(self, split: Split, chunk: Chunk) -> Iterator[Record]:
        """Yields the examples of a chunk as they are read, for a pipeline that prepares them in another process."""

    def about(self) -> dict[str, Any]:
        """Returns, as JSON, what `from_records` needs to know of the source besides the records."""
        return {}

    @abc.abstractmethod
    def from_records(self, records: Records) -> "Preparation[Learned]":
        """Returns this preparation with these records instead of the source; it writes the same stores."""

    @abc.abstractmethod
    def columns(self, learned: Learned) -> Mapping[str, Column]:
        """Returns the columns of the stores, without `id`."""

    @abc.abstractmethod
    def size(self, split: Split) -> Size:
        """Returns how much data a split has, for the progress bar."""

    def class_names(self, learned: Learned) -> Sequence[str]:
        """Returns the names of the classes in the order of the column `label`; by default an empty sequence."""
        return ()

    def show(self, learned: Learned, store: Store) -> list[str] | np.ndarray:
        """Returns a few examples to look at: texts, or one picture, uint8 `[H,W,C]`; by default an empty list."""
        return []

    @abc.abstractmethod
    def write(self, learned: Learned, split: Split, writer: Sink) -> None:
        """Writes the examples of a split that follow `writer.cursor`, and calls `writer.read` after each read.

        Raises:
            UserError: If the source cannot be prepared, such as with an unknown class.
        """


@dataclasses.dataclass(frozen=True)
class Prepared(Generic[Learned]):
    """Prepared data.

    Attributes:
        folder: Folder that holds it.
        learned: The fitted preprocessing.
        splits: The stores by split.
    """

    folder: Path
    learned: Learned
    splits: Splits


def cache() -> Path:
    """Returns the folder that all runs share: `$IKELOS_CACHE`, else `ikelos` in the user's cache folder."""
    if given := os.environ.get("IKELOS_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ikelos"


def prepare(
    preparation: Preparation[Learned], write: Callable[[Learned, Split, Writer], None] | None = None
) -> Prepared[Learned]:
    """Prepares data, or opens it if it is already prepared. Resumes where an earlier call was killed.

    Args:
        preparation: The preparation.
        write: Function that writes what `preparation.write` would, which is the default.

    Raises:
        UserError: If the source cannot be read or changes meanwhile, more of it is faulty than allowed, a split has no
            examples, prepared data is damaged, or the folder of the cache cannot be written.
        OSError: If the disk is full.
    """
    identity = _identity(preparation)
    name = re.sub(r"[^A-Za-z0-9.=-]+", "_", preparation.name)[:40]
    folder = cache() / "data" / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    unfinished = folder.with_name(folder.name + files.UNFINISHED)
    if not folder.is_dir():
        with locked(unfinished, wait=True):
            if not folder.is_dir():  # another process may have prepared it while this one waited for the lock
                _write(preparation, unfinished, identity, write or preparation.write)
                _check_unchanged(preparation, unfinished, identity)
                files.finish(unfinished, folder)
    return opened(preparation, folder)


def opened(preparation: Preparation[Learned], folder: Path) -> Prepared[Learned]:
    """Returns the prepared data in a folder; the source is not read.

    Raises:
        UserError: If more of the source is faulty than allowed, or the prepared data is damaged.
    """
    _check_learned(folder)
    learned = preparation.load(folder / "preprocessing")
    splits = {split: Store.open(folder / split) for split in SPLITS}
    _check_faults(preparation, splits)
    return Prepared(folder, learned, splits)


def _identity(preparation: Preparation[Any]) -> str:
    return json.dumps([VERSION, preparation.identity()], sort_keys=True)


def _check_unchanged(preparation: Preparation[Any], unfinished: Path, identity: str) -> None:
    """Deletes the written data and raises UserError if the source changed meanwhile.

    The written data may then mix two states of the source.
    """
    try:
        unchanged = _identity(preparation) == identity
    except (FileNotFoundError, tf.errors.NotFoundError):
        unchanged = False
    if unchanged:
        return
    for path in unfinished.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    raise UserError(
        f"The data of {preparation.name} changed while it was prepared. Run the command again when nothing changes it."
    )


def _write(
    preparation: Preparation[Learned], folder: Path, identity: str, write: Callable[[Learned, Split, Writer], None]
) -> None:
    files.write(folder / "identity.json", identity + "\n")  # never read: it only documents the folder
    learning = folder / "preprocessing"
    if not learning.is_dir():
        unfinished = learning.with_name(learning.name + files.UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        size = preparation.size("train")
        with Progress("fitting the preprocessing", size.unit, size.number) as progress:
            progress.advance(0)
            preparation.learn(progress.advance).save(unfinished)
        files.write(folder / LEARNED, json.dumps(_checksums(unfinished)) + "\n")
        files.finish(unfinished, learning)
    learned = preparation.load(learning)
    for split in SPLITS:
        if (folder / split / MANIFEST).is_file():
            continue
        size = preparation.size(split)
        with (
            Progress(f"preparing {split}", size.unit, size.number) as progress,
            writing(folder / split, preparation.columns(learned), progress.advance) as writer,
        ):
            write(learned, split, writer)
            writer.finish()
    shown = preparation.show(learned, Store.open(folder / "train", check=False))
    if isinstance(shown, np.ndarray):
        with files.writing(folder / EXAMPLES) as file:
            file.write(tf.io.encode_png(shown).numpy())


def _checksums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 checksum of each file in a folder."""
    return {path.name: checksum_of(path, 0, path.stat().st_size) for path in sorted(folder.iterdir())}


def _check_learned(folder: Path) -> None:
    """Raises UserError if a file of the preprocessing is missing or has changed since it was written."""
    try:
        whole = _checksums(folder / "preprocessing") == json.loads((folder / LEARNED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{folder / 'preprocessing'} is damaged (its SHA-256 checksums differ): delete {folder}.")


def _check_faults(preparation: Preparation[Any], splits: Splits) -> None:
    """Raises UserError if a split has more faults than allowed or is empty; the message covers all such splits."""
    lines = [line for split, store in splits.items() for line in _faults(preparation, split, store)]
    if lines:
        raise UserError("\n".join(lines))


def _faults(preparation: Preparation[Any], split: Split, store: Store) -> list[str]:
    """Returns the lines of an error if a split has more faults than allowed or is empty; else none."""
    faulty = sum(store.skipped.values())
    every = faulty + len(store)
    if faulty and faulty / every > preparation.allowed_faults:
        kinds = ", ".join(f"{number} {kind}" for kind, number in store.skipped.items())
        hidden = faulty - len(store.faults)
        needed = math.ceil(1e4 * faulty / every) / 1e4
        leave = f"leave {'it' if faulty == 1 else 'them'} out"
        advice = f", or {leave}: --set data.source.allowed_faults={needed:g}" if needed < 1 else ""
        return [
            *store.faults,
            *([f"... and {hidden} more"] if hidden else []),
            f"{faulty:,} of {every:,} examples of the split {split!r} {'is' if faulty == 1 else 'are'} faulty "
            f"({kinds}), more than the share data.source.allowed_faults={preparation.allowed_faults:g}. "
            f"Fix {'it' if faulty == 1 else 'them'}{advice}",
        ]
    return [] if len(store) else [f"The split {split!r} of {preparation.name} has no examples."]

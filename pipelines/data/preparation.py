"""Data prepared once, and shared by all runs with the same: what is learned from it, and a store of each split.

Prepared data lies in `$IKELOS_CACHE/data`, by default `~/.cache/ikelos/data`, in a folder named by the hash of
everything that decides it: the settings of the preparation, and the source's files with their sizes and times. It may
be deleted whenever no run needs it; then it is made again.
"""

import abc
import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import tensorflow as tf

from ikelos.pipelines.console import Progress
from ikelos.pipelines.data.config import SPLITS, Split
from ikelos.pipelines.data.store import MANIFEST, Column, Splits, Store, sum_of
from ikelos.pipelines.data.writing import Writer, writing
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked
from ikelos.pipelines.preprocessing import Preprocessing
from ikelos.serving import files

_VERSION = 2
"""Of the format of stores, and of how they are written: another one prepares everything anew."""

_LEARNED = "preprocessing.json"
"""The sums of the files that the preprocessing wrote."""
EXAMPLES = "examples.png"
"""A picture of the first training examples, of images."""

Learned = TypeVar("Learned", bound=Preprocessing)


@dataclasses.dataclass(frozen=True)
class Size:
    """How much there is to read.

    Attributes:
        number: In all.
        unit: Of what, a plural: `bytes`, `examples`.
    """

    number: int
    unit: str


class Preparation(abc.ABC, Generic[Learned]):
    """How a source becomes stores of examples. Nothing is read before a method is called.

    Attributes:
        name: Of the data, for people and for the folder.
        allowed_faults: Largest share of a split's examples that may be faulty, and are then left out.
    """

    name: str
    allowed_faults: float = 0.0

    @abc.abstractmethod
    def identity(self) -> Any:
        """All that decides what is prepared, JSON: settings, and what tells one state of the source from another."""

    @abc.abstractmethod
    def learn(self, progress: Callable[[int], None]) -> Learned:
        """Learns from the training split what comes before the model; tells how much of the split it has read."""

    @abc.abstractmethod
    def load(self, folder: Path) -> Learned:
        """Reads what the preprocessing saved; no data is read."""

    def taking_over(self, folder: Path) -> "Preparation[Learned]":
        """The same, with as much of the preprocessing in a folder as a model trained with it depends on.

        By default nothing: what is learned is learned anew.
        """
        return self

    @abc.abstractmethod
    def columns(self, learned: Learned) -> Mapping[str, Column]:
        """Those of the stores, without `id`."""

    @abc.abstractmethod
    def size(self, split: Split) -> Size:
        """How much of a split there is to read, for the progress."""

    def class_names(self, learned: Learned) -> Sequence[str]:
        """In the order of the column `label`; none by default."""
        return ()

    def show(self, learned: Learned, store: Store) -> list[str] | np.ndarray:
        """A few examples for a person to look at: texts, or one picture, uint8 `[H,W,C]`; by default none."""
        return []

    @abc.abstractmethod
    def write(self, learned: Learned, split: Split, writer: Writer) -> None:
        """Writes the examples of a split behind `writer.cursor`, and tells the writer how far it has read."""


@dataclasses.dataclass(frozen=True)
class Prepared(Generic[Learned]):
    """What `prepare` made, or found.

    Attributes:
        folder: Where it lies.
        learned: What was learned before the model.
        splits: The stores.
    """

    folder: Path
    learned: Learned
    splits: Splits


def cache() -> Path:
    """The folder of what runs share: `$IKELOS_CACHE`, else `ikelos` in the user's folder of caches."""
    if given := os.environ.get("IKELOS_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ikelos"


def prepare(preparation: Preparation[Learned]) -> Prepared[Learned]:
    """Prepares data, or finds it prepared; goes on where an earlier call was killed.

    Raises:
        UserError: If the source cannot be read, more of it is faulty than allowed, or prepared data is damaged.
    """
    identity = _identity(preparation)
    name = re.sub(r"[^A-Za-z0-9.=-]+", "_", preparation.name)[:40]
    folder = cache() / "data" / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    unfinished = folder.with_name(folder.name + files.UNFINISHED)
    if not folder.is_dir():
        with locked(unfinished, wait=True):
            if not folder.is_dir():  # another process may have been at it
                _write(preparation, unfinished, identity)
                _check_unchanged(preparation, unfinished, identity)
                files.finish(unfinished, folder)
    _check_learned(folder)
    learned = preparation.load(folder / "preprocessing")
    splits = {split: Store.open(folder / split) for split in SPLITS}
    _check_faults(preparation, splits)
    return Prepared(folder, learned, splits)


def _identity(preparation: Preparation[Any]) -> str:
    return json.dumps([_VERSION, preparation.identity()], sort_keys=True)


def _check_unchanged(preparation: Preparation[Any], unfinished: Path, identity: str) -> None:
    """Throws away what was written if the source changed meanwhile: it may be of two states of it."""
    try:
        unchanged = _identity(preparation) == identity
    except (FileNotFoundError, tf.errors.NotFoundError):
        unchanged = False
    if unchanged:
        return
    for path in unfinished.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    raise UserError(f"The data of {preparation.name} changed while it was prepared. Start again when it is at rest.")


def _write(preparation: Preparation[Learned], folder: Path, identity: str) -> None:
    files.write(folder / "identity.json", identity + "\n")  # for people who wonder what a folder is
    learning = folder / "preprocessing"
    if not learning.is_dir():
        unfinished = learning.with_name(learning.name + files.UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        size = preparation.size("train")
        with Progress("learning from train", size.unit, size.number) as progress:
            progress.advance(0)
            preparation.learn(progress.advance).save(unfinished)
        files.write(folder / _LEARNED, json.dumps(_sums(unfinished)) + "\n")
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
            preparation.write(learned, split, writer)
            writer.finish()
    shown = preparation.show(learned, Store.open(folder / "train", check=False))
    if isinstance(shown, np.ndarray):
        with files.writing(folder / EXAMPLES) as file:
            file.write(tf.io.encode_png(shown).numpy())


def _sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder."""
    return {path.name: sum_of(path, 0, path.stat().st_size) for path in sorted(folder.iterdir())}


def _check_learned(folder: Path) -> None:
    """Raises UserError if what the preprocessing wrote is not there as it was written."""
    try:
        whole = _sums(folder / "preprocessing") == json.loads((folder / _LEARNED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"{folder / 'preprocessing'} is damaged (its SHA-256 sums are others): delete {folder}.")


def _check_faults(preparation: Preparation[Any], splits: Splits) -> None:
    """Raises UserError if more of a split is faulty than allowed, with the faults of all such splits."""
    lines = [line for split, store in splits.items() for line in _faults(preparation, split, store)]
    if lines:
        raise UserError("\n".join(lines))


def _faults(preparation: Preparation[Any], split: Split, store: Store) -> list[str]:
    """The faults of a split of which more is faulty than allowed, or that is empty; else none."""
    faulty = sum(store.skipped.values())
    every = faulty + len(store)
    if faulty and faulty / every > preparation.allowed_faults:
        kinds = ", ".join(f"{number} {kind}" for kind, number in store.skipped.items())
        hidden = faulty - len(store.faults)
        needed = math.ceil(1e4 * faulty / every) / 1e4
        advice = f", or leave them out: --set data.source.allowed_faults={needed:g}" if needed < 1 else ""
        return [
            *store.faults,
            *([f"... and {hidden} more"] if hidden else []),
            f"{faulty} of {every} examples of the split {split!r} are faulty ({kinds}), more than the share "
            f"data.source.allowed_faults={preparation.allowed_faults:g}. Fix them{advice}",
        ]
    return [] if len(store) else [f"The split {split!r} of {preparation.name} has no examples."]

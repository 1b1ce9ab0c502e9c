"""Checkpoints with the whole state of a training, from which it resumes exactly."""

import dataclasses
import hashlib
import io
import json
import math
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training.errors import NotFinite
from ikelos.pipelines.training.state import State
from ikelos.serving import files

_MOST = 4
"""Maximum number of files at a time: the newest two, the best, and the one that is being written."""


class Checkpoints:
    """The folder of a stage's checkpoints: the newest two, and the best for early stopping.

    A checkpoint is an npz archive with the variables of the model (weights, statistics, states of random generators)
    and of its optimizers (moments, averages, counters), the `State` and the settings. Files are written atomically;
    the checksums of the archive detect later damage.
    """

    def __init__(self, folder: Path, settings: dict):
        """Creates the folder; `settings` (JSON) must be the same in every run that resumes from it."""
        self._folder = folder
        self._settings = json.loads(json.dumps(settings))
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"*{files.UNFINISHED}"):
            leftover.unlink()

    def path(self, step: int) -> Path:
        """Returns the file of a step."""
        return self._folder / f"step-{step:08d}.npz"

    def steps(self) -> list[int]:
        """Returns the steps that have a file, in ascending order."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self._folder.glob("step-*.npz"))

    def check_room(self, variables: Sequence[keras.Variable]) -> None:
        """Checks before a training that the disk has room for its checkpoints.

        Raises:
            UserError: If the disk has too little room.
        """
        size = sum(math.prod(v.shape) * np.dtype(keras.backend.standardize_dtype(v.dtype)).itemsize for v in variables)
        needed = size * max(_MOST - len(self.steps()), 1)
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise UserError(
                f"The disk of {self._folder} must have {needed / 1e6:,.0f} MB free for the checkpoints. "
                f"Received: {free / 1e6:,.0f} MB"
            )

    def save(self, variables: Sequence[keras.Variable], state: State) -> None:
        """Writes the file of `state.step`, then deletes all but the newest two and the best.

        Raises:
            NotFinite: If a variable holds a NaN or an infinity; nothing is written.
            OSError: If the disk is full, or the folder cannot be written.
        """
        arrays = {name: variable.numpy() for name, variable in _named(variables).items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise NotFinite(f"Step {state.step}: the variable {name!r} is not finite. {self.last_good()}")
        about = json.dumps({"state": dataclasses.asdict(state), "settings": self._settings})
        with files.writing(self.path(state.step)) as file:
            np.savez(file, about=np.frombuffer(about.encode(), np.uint8), **arrays)
        for step in self.steps()[:-2]:
            if step != state.best_step:
                self.path(step).unlink()

    def restore(self, variables: Sequence[keras.Variable]) -> State:
        """Loads the newest undamaged file into the variables.

        A file is damaged if its content is not a whole archive. Such files are deleted with a warning if they are newer
        than the loaded one.

        Returns:
            The state in the loaded file, or the state of a fresh run if there are no files.

        Raises:
            UserError: If the system cannot open or read a file, the newest undamaged file is of another model or has
                other settings, or all files are damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            state = self.load(variables, step)
            if state is None:
                warnings.warn(f"The checkpoint {self.path(step)} is damaged and ignored.", stacklevel=2)
                continue
            for damaged in steps[steps.index(step) + 1 :]:
                self.path(damaged).unlink()
            return state
        if steps:
            raise UserError(f"All checkpoints in {self._folder} are damaged: delete the folder to start again.")
        return State()

    def load(self, variables: Sequence[keras.Variable], step: int) -> State | None:
        """Loads the file of one step into the variables and returns its state, or None if it is damaged.

        Raises:
            UserError: If the system cannot open or read the file, or it is of another model or has other settings.
        """
        path = self.path(step)
        arrays = _read(path)
        if arrays is None:
            return None
        about = json.loads(arrays.pop("about").tobytes())
        for name, was in about["settings"].items():
            if was != self._settings.get(name):
                raise UserError(
                    f"`{name}` must be {was}, as in {path}. Received: {name}={self._settings.get(name)}. Continue with "
                    "the same settings, or use another folder."
                )
        found = _named(variables)
        _verify(path, found, arrays)
        for name, variable in found.items():
            variable.assign(arrays[name].view(keras.backend.standardize_dtype(variable.dtype)))
        return State(**about["state"])

    def last_good(self) -> str:
        """Returns a sentence that names the newest file."""
        return f"The last good checkpoint is {self.path(self.steps()[-1])}."


def exists(folder: Path) -> bool:
    """Returns whether a folder of checkpoints has any."""
    return any(folder.glob("step-*.npz"))


def planned(folder: Path) -> int | None:
    """Returns the planned number of steps from the newest undamaged file; None if there is no such file.

    Raises:
        UserError: If the system cannot open or read a file.
    """
    for path in sorted(folder.glob("step-*.npz"), reverse=True):
        if (arrays := _read(path)) is not None:
            return json.loads(arrays["about"].tobytes())["state"]["planned"]
    return None


def newest(folder: Path) -> Path:
    """Returns the newest file in a folder of checkpoints; there must be one."""
    return max(folder.glob("step-*.npz"))


def fingerprint(folder: Path) -> dict[str, str]:
    """Returns the newest file in a folder of checkpoints: `file`, its name, and `sha256`, its checksum.

    The folder must hold a checkpoint.
    """
    path = newest(folder)
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _named(variables: Sequence[keras.Variable]) -> dict[str, keras.Variable]:
    """Returns the variables by names that are the same in every process.

    Keras's numbers of layers (`dense_3`) depend on everything that the process has built. They are removed, and the
    position in the list is put in front instead.
    """
    return {f"{place:05d}/{re.sub(r'_[0-9]+', '', v.path)}": v for place, v in enumerate(variables)}


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Returns the arrays of a file, None if it is damaged.

    Raises:
        UserError: If the system cannot open or read the file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read the checkpoint {path}: {error.strerror}.") from error
    try:
        with np.load(io.BytesIO(content)) as file:
            return {name: file[name] for name in file.files}
    except Exception:
        # A flipped byte makes zipfile and numpy raise nearly any exception, from BadZipFile to NotImplementedError.
        return None


def _verify(path: Path, variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray]) -> None:
    for name in sorted(variables.keys() ^ arrays.keys()):
        where = "model" if name in variables else "file"
        raise UserError(f"{path} is a checkpoint of another model: only the {where} has {name!r}.")
    for name, variable in variables.items():
        expected = np.dtype(keras.backend.standardize_dtype(variable.dtype))
        array = arrays[name]
        # NumPy stores bfloat16 as two bytes without a type.
        same_type = array.dtype == expected or (array.dtype.kind == "V" and array.itemsize == expected.itemsize)
        if array.shape != tuple(variable.shape) or not same_type:
            raise UserError(
                f"{path} is a checkpoint of another model: {name!r} must be {expected} "
                f"{tuple(variable.shape)}. Received: {array.dtype} {array.shape}"
            )

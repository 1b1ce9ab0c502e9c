"""Publishes a model as the next version of a TensorFlow Serving base path, and finds the one that is served."""

import json
import posixpath
import shutil
from pathlib import Path

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import storage
from ikelos.serving import newest
from ikelos.serving.examples import EXTRA
from ikelos.serving.incoming import incoming, publish

_GRAPH = "saved_model.pb"
"""File that a server needs to load a version."""
SOURCE = f"{EXTRA}/ikelos_run.json"
"""File of a version that names the run that it comes from."""


def push(model: Path, destination: str, run: str) -> str:
    """Copies a SavedModel to the next version of a base path, unless the newest version comes from the same run.

    On a file system the version appears by a renaming. An object store has none: there the graph is copied last, and a
    server that looks earlier fails to load the version, and tries again. Two processes must not push at once there.

    Args:
        model: Folder of the SavedModel.
        destination: Base path.
        run: URI of the artifact `ModelRun`, which is noted in the version.

    Returns:
        The place of the version.
    """
    number = newest_version(destination) or 0
    if number and run_of(version_of(destination, number)) == run:  # a node that was killed after it had pushed
        return version_of(destination, number)
    note = json.dumps({"run": run}) + "\n"
    if storage.is_local(destination):
        with incoming(Path(destination)) as folder:
            shutil.copytree(model, folder / "model")
            (folder / "model" / SOURCE).write_text(note, encoding="utf-8")
            return str(publish(folder / "model", Path(destination)))
    system, base = storage.located(destination)
    version = f"{base}/{number + 1}"
    if system.exists(version):  # a push was killed, perhaps of another model
        if not system.exists(f"{version}/{SOURCE}"):
            raise UserError(f"{version} must be a version that a pipeline pushed, or not exist. Received: other files")
        system.rm(version, recursive=True)
    paths = sorted(path.relative_to(model) for path in model.rglob("*") if path.is_file() and path.name != _GRAPH)
    system.pipe_file(f"{version}/{SOURCE}", note.encode())
    for path in (*paths, Path(_GRAPH)):
        system.put_file(str(model / path), f"{version}/{path.as_posix()}")
    return version_of(destination, number + 1)


def newest_version(destination: str) -> int | None:
    """Returns the number of the newest complete version in a base path; None if there is none."""
    if storage.is_local(destination):
        version = newest(Path(destination))
        return None if version is None else int(version.name)
    system, base = storage.located(destination)
    system.invalidate_cache()
    if not system.exists(base):
        return None
    names = [posixpath.basename(path.rstrip("/")) for path in system.ls(base, detail=False)]
    complete = [int(name) for name in names if name.isdecimal() and system.exists(f"{base}/{name}/{_GRAPH}")]
    return max(complete, default=None)


def served(destination: str) -> str | None:
    """Returns the URI of the artifact `ModelRun` that the newest version in a base path comes from.

    None if there is no version, or the newest one does not come from a pipeline.
    """
    number = newest_version(destination)
    return run_of(version_of(destination, number)) if number else None


def version_of(destination: str, number: int) -> str:
    """Returns the place of a version in a base path."""
    return f"{destination.rstrip('/')}/{number}"


def run_of(version: str) -> str | None:
    """Returns the URI of the artifact `ModelRun` that a version comes from; None if it comes from no pipeline."""
    try:
        return json.loads(storage.read(f"{version}/{SOURCE}"))["run"]
    except FileNotFoundError:
        return None

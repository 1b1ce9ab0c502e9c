"""Publishes a model as the next version of a TensorFlow Serving base path, and finds the one that is served."""

import json
import posixpath
from pathlib import Path
from typing import Any

from ikelos.pipelines.tfx import storage
from ikelos.serving import newest
from ikelos.serving.examples import EXTRA
from ikelos.serving.incoming import incoming, publish

_GRAPH = "saved_model.pb"
"""File without which a server does not take a folder for a model."""
SOURCE = f"{EXTRA}/ikelos_run.json"
"""File of a version that names the run that it comes from."""


def push(model: Path, destination: str, run: str) -> str:
    """Copies a SavedModel to the next version of a base path.

    On a file system the version appears by a renaming. An object store has none: there the graph is copied last, as a
    server loads no folder without it.

    Args:
        model: Folder of the SavedModel.
        destination: Base path.
        run: URI of the artifact `ModelRun`, which is noted in the version.

    Returns:
        The place of the version.
    """
    note = json.dumps({"run": run}) + "\n"
    if storage.is_local(destination):
        from ikelos.pipelines.tfx import steps  # imports TensorFlow, which `ikelos runs` does not need

        with incoming(Path(destination)) as folder:
            steps.copy(model, folder / "model")
            (folder / "model" / SOURCE).write_text(note, encoding="utf-8")
            return str(publish(folder / "model", Path(destination)))
    system, base = _opened(destination)
    version = f"{base}/{_newest(system, base) + 1}"
    if system.exists(version):  # files of a push that was killed, perhaps of another model
        system.rm(version, recursive=True)
    paths = sorted(path.relative_to(model) for path in model.rglob("*") if path.is_file() and path.name != _GRAPH)
    system.pipe_file(f"{version}/{SOURCE}", note.encode())
    for path in (*paths, Path(_GRAPH)):
        system.put_file(str(model / path), f"{version}/{path.as_posix()}")
    return f"{destination.rstrip('/')}/{posixpath.basename(version)}"


def served(destination: str) -> str | None:
    """Returns the URI of the artifact `ModelRun` that the newest version in a base path comes from.

    None if there is no version, or the newest one does not come from a pipeline.
    """
    try:
        if storage.is_local(destination):
            version = newest(Path(destination))
            note = "" if version is None else (version / SOURCE).read_text(encoding="utf-8")
        else:
            system, base = _opened(destination)
            note = system.cat_file(f"{base}/{_newest(system, base)}/{SOURCE}")
    except FileNotFoundError:
        return None
    return json.loads(note)["run"] if note else None


def newest_version(destination: str) -> int | None:
    """Returns the number of the newest version in a base path; None if there is no version."""
    if storage.is_local(destination):
        version = newest(Path(destination))
        return None if version is None else int(version.name)
    return _newest(*_opened(destination)) or None


def _opened(destination: str) -> tuple[Any, str]:
    import fsspec

    system, base = fsspec.core.url_to_fs(destination)
    return system, base.rstrip("/")


def _newest(system: Any, base: str) -> int:
    """Returns the highest version that a server can load, 0 if there is none."""
    system.invalidate_cache()
    names = (
        [posixpath.basename(path.rstrip("/")) for path in system.ls(base, detail=False)] if system.exists(base) else []
    )
    return max(
        (int(name) for name in names if name.isdecimal() and system.exists(f"{base}/{name}/{_GRAPH}")), default=0
    )

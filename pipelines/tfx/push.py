"""Publishes a model as the next version of a TensorFlow Serving base path."""

import posixpath
from pathlib import Path

from ikelos.pipelines.tfx import steps, storage
from ikelos.serving.incoming import incoming, publish

_GRAPH = "saved_model.pb"
"""File without which a server does not take a folder for a model."""


def push(model: Path, destination: str) -> str:
    """Copies a SavedModel to the next version of a base path, and returns the version's place.

    On a file system the version appears by a renaming. An object store has none: there the graph is copied last, as a
    server loads no folder without it.
    """
    if storage.is_local(destination):
        with incoming(Path(destination)) as folder:
            steps.copy(model, folder / "model")
            return str(publish(folder / "model", Path(destination)))
    import fsspec

    system, base = fsspec.core.url_to_fs(destination)
    base = base.rstrip("/")
    names = [posixpath.basename(path.rstrip("/")) for path in system.ls(base, detail=False)] if system.exists(base) else []
    version = max((int(name) for name in names if name.isdecimal()), default=0) + 1
    paths = sorted(path.relative_to(model) for path in model.rglob("*") if path.is_file() and path.name != _GRAPH)
    for path in (*paths, Path(_GRAPH)):
        system.put_file(str(model / path), f"{base}/{version}/{path.as_posix()}")
    return f"{destination.rstrip('/')}/{version}"

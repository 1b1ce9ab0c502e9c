"""Local folders for artifacts, wherever the pipeline's root is.

An object store has no renaming and no flushing to disk. So nodes work on local folders, and this module copies them
from and to the store. A file named `COMPLETE` is written last: without it, an artifact is half a copy.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ikelos.pipelines.errors import UserError
from ikelos.serving import files

COMPLETE = "COMPLETE"


def is_local(uri: str) -> bool:
    """Returns whether a location is a path of this machine's file system."""
    return "://" not in uri


@contextlib.contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Context manager of a local folder with the content of a folder that `published` wrote, for reading.

    Raises:
        UserError: If the folder was not written completely.
    """
    if is_local(uri):
        if not Path(uri, COMPLETE).is_file():
            raise _incomplete(uri)
        yield Path(uri)
        return
    import fsspec

    system, place = fsspec.core.url_to_fs(uri)
    if not system.exists(f"{place}/{COMPLETE}"):
        raise _incomplete(uri)
    with tempfile.TemporaryDirectory() as folder:
        system.get(f"{place.rstrip('/')}/", f"{folder}/", recursive=True)
        yield Path(folder)


@contextlib.contextmanager
def published(uri: str) -> Iterator[Path]:
    """Context manager of a local folder whose content is in the folder `uri` afterwards, if no error was raised."""
    if is_local(uri):
        folder = Path(uri)
        shutil.rmtree(folder, ignore_errors=True)  # what a killed node left
        folder.mkdir(parents=True)
        yield folder
        files.sync_tree(folder)
        (folder / COMPLETE).touch()
        files.sync(folder)
        return
    import fsspec

    system, place = fsspec.core.url_to_fs(uri)
    if system.exists(place):
        system.rm(place, recursive=True)
    with tempfile.TemporaryDirectory() as local:
        yield Path(local)
        system.put(f"{local}/", f"{place.rstrip('/')}/", recursive=True)
        system.pipe_file(f"{place.rstrip('/')}/{COMPLETE}", b"")


def read_text(uri: str) -> str:
    """Returns the text of a file, which may be in an object store."""
    if is_local(uri):
        return Path(uri).read_text(encoding="utf-8")
    import fsspec

    system, place = fsspec.core.url_to_fs(uri)
    return system.cat_file(place).decode()


def _incomplete(uri: str) -> UserError:
    return UserError(f"{uri} must be a complete artifact, with a file {COMPLETE}. Received: none, or one without it")

"""Local folders for artifacts, wherever the pipeline's root is.

An object store has no renaming and no flushing to disk. So nodes work on local folders, and this module copies them
from and to the store. A file named `COMPLETE` is written last: without it, an artifact is half a copy. An artifact of
single files, such as a schema, has no `COMPLETE`: a file appears completely or not at all.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ikelos.pipelines.errors import UserError
from ikelos.serving import files

COMPLETE = "COMPLETE"


def is_local(uri: str) -> bool:
    """Returns whether a location is a path of this machine's file system."""
    return "://" not in uri


def opened(uri: str) -> tuple[Any, str]:
    """Returns the file system of fsspec for a URL, and the path in it, without a slash at its end.

    Raises:
        UserError: If fsspec does not know the kind of the store, or the package for it is not installed.
    """
    try:
        import fsspec

        system, place = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"A URL must be that of an object store that fsspec can open. Received: {uri} ({error})"
        ) from None
    return system, place.rstrip("/")


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
    system, place = opened(uri)
    if not system.exists(f"{place}/{COMPLETE}"):
        raise _incomplete(uri)
    with tempfile.TemporaryDirectory() as folder:
        system.get(f"{place}/", f"{folder}/", recursive=True)
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
    system, place = opened(uri)
    if system.exists(place):
        system.rm(place, recursive=True)
    with tempfile.TemporaryDirectory() as local:
        yield Path(local)
        system.put(f"{local}/", f"{place}/", recursive=True)
        system.pipe_file(f"{place}/{COMPLETE}", b"")


def exists(uri: str) -> bool:
    """Returns whether there is a file or a folder."""
    if is_local(uri):
        return Path(uri).exists()
    system, place = opened(uri)
    system.invalidate_cache()
    return system.exists(place)


def read(uri: str) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: If it cannot be read.
    """
    if is_local(uri):
        return Path(uri).read_bytes()
    system, place = opened(uri)
    return system.cat_file(place)


def write(uri: str, content: bytes) -> None:
    """Writes a file, completely or not at all, and the folders that it is in."""
    if is_local(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with files.writing(Path(uri)) as file:
            file.write(content)
        return
    system, place = opened(uri)
    system.pipe_file(place, content)


def _incomplete(uri: str) -> UserError:
    return UserError(f"{uri} must be a complete artifact, with a file {COMPLETE}. Received: none, or one without it")

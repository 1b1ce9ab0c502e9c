"""Local folders for artifacts, wherever the pipeline's root is.

An object store has no renaming and no flushing to disk. So nodes work on local folders and files, and this module
copies them from and to the store. A file named `COMPLETE` is written last: without it, an artifact is half a copy. An
artifact of single files, such as a schema, has no `COMPLETE`: a file appears completely or not at all.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ikelos.pipelines.errors import UserError
from ikelos.serving import files

COMPLETE = "COMPLETE"


def is_local(uri: str) -> bool:
    """Returns whether a location is a path of this machine's file system."""
    return "://" not in uri


def located(uri: str) -> tuple[Any, str]:
    """Returns the file system of fsspec for a URL, and the path in it, without a slash at its end.

    Raises:
        UserError: If the store is of an unknown kind, or the package for it is not installed.
    """
    try:
        import fsspec

        system, place = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise UserError(
            f"{uri} needs the package of its object store: pip install 'ikelos[object-stores]'. Received: {error}"
        ) from None
    except ValueError as error:
        raise UserError(
            f"{uri} must be the URL of an object store, such as gs://bucket/folder. Received: {error}"
        ) from None
    system.invalidate_cache()  # other processes write into the same folders
    return system, place.rstrip("/")


def check_complete(uri: str) -> None:
    """Raises UserError unless a folder was written completely, by `completed` or `published`."""
    if not exists(f"{uri}/{COMPLETE}"):
        raise UserError(f"{uri} must be a complete artifact, with a file {COMPLETE}. Received: none, or one without it")


@contextlib.contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Context manager of a local folder with the content of a folder that `published` wrote, for reading.

    Raises:
        UserError: If the folder was not written completely.
    """
    check_complete(uri)
    if is_local(uri):
        yield Path(uri)
        return
    system, place = located(uri)
    with tempfile.TemporaryDirectory() as folder:
        system.get(f"{place}/", f"{folder}/", recursive=True)
        yield Path(folder)


@contextlib.contextmanager
def opened(uri: str) -> Iterator[Path]:
    """Context manager of a local file with the content of a file, for reading."""
    if is_local(uri):
        yield Path(uri)
        return
    system, place = located(uri)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        system.get_file(place, str(path))
        yield path


@contextlib.contextmanager
def completed(uri: str) -> Iterator[None]:
    """Context manager that empties a folder, and marks it as complete afterwards, if no error was raised."""
    remove(uri)
    if is_local(uri):
        folder = Path(uri)
        folder.mkdir(parents=True)
        yield
        for path in folder.rglob(f"*{files.UNFINISHED}"):  # what a killed worker left
            path.unlink(missing_ok=True)  # its worker may still remove it
        files.sync_tree(folder)
        (folder / COMPLETE).touch()
        files.sync(folder)
        return
    yield
    system, place = located(uri)
    system.pipe_file(f"{place}/{COMPLETE}", b"")


@contextlib.contextmanager
def published(uri: str) -> Iterator[Path]:
    """Context manager of a local folder whose content is in the folder `uri` afterwards, if no error was raised."""
    with completed(uri):
        if is_local(uri):
            yield Path(uri)
            return
        system, place = located(uri)
        with tempfile.TemporaryDirectory() as local:
            yield Path(local)
            system.put(f"{local}/", f"{place}/", recursive=True)


@contextlib.contextmanager
def created(uri: str) -> Iterator[Path]:
    """Context manager of a new local file that is the file `uri` afterwards, completely or not at all.

    Several processes may create the same file at once; the last one wins.
    """
    if is_local(uri):
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}{files.UNFINISHED}")
        try:
            yield unfinished
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        return
    system, place = located(uri)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        yield path
        system.put_file(str(path), place)


def exists(uri: str) -> bool:
    """Returns whether there is a file or a folder."""
    if is_local(uri):
        return Path(uri).exists()
    system, place = located(uri)
    return system.exists(place)


def read(uri: str) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: If it cannot be read.
    """
    with opened(uri) as path:
        return path.read_bytes()


def write(uri: str, content: bytes) -> None:
    """Writes a file, completely or not at all, and the folders that it is in."""
    with created(uri) as path:
        path.write_bytes(content)


def remove(uri: str) -> None:
    """Removes a file, or a folder with all that is in it, if there is one."""
    if is_local(uri):
        path = Path(uri)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    system, place = located(uri)
    if system.exists(place):
        system.rm(place, recursive=True)

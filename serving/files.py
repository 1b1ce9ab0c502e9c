"""Files and folders that exist completely or not at all, even after a power cut."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".unfinished"
"""Suffix of the name of a file or folder that is still being written. Any that a killed process left may be removed."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Context manager that yields a new file, flushes it to the disk at the end and then replaces `path` by it.

    Raises:
        OSError: If the file cannot be written, with a note that names `path`. The old file is unchanged.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        sync(path.parent)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.add_note(f"writing {path}")
        raise


def write(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, completely or not at all.

    Raises:
        OSError: If the file cannot be written, with a note that names `path`. The old file is unchanged.
    """
    with writing(path) as file:
        file.write(text.encode())


def finish(unfinished: Path, folder: Path) -> None:
    """Flushes the folder `unfinished` to the disk and renames it to `folder`."""
    sync_tree(unfinished)
    os.replace(unfinished, folder)
    sync(folder.parent)


def sync_tree(folder: Path) -> None:
    """Flushes a folder and everything in it to the disk."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(path, name))
        sync(Path(path))


def sync(path: Path) -> None:
    """Flushes a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

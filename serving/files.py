"""Files and folders that are whole whenever they are there, even after a power cut."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".unfinished"
"""Ends the name of what is still being written; what a kill leaves of it is nobody's."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end, when all of it is on the disk.

    Raises:
        OSError: It cannot be written; the note on it names `path`. What was there before is there still.
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
    """Writes a whole text file, in UTF-8, or none; errors as of `writing`."""
    with writing(path) as file:
        file.write(text.encode())


def finish(unfinished: Path, folder: Path) -> None:
    """Gives a folder its name when everything in it is on the disk."""
    sync_tree(unfinished)
    os.replace(unfinished, folder)
    sync(folder.parent)


def sync_tree(folder: Path) -> None:
    """Brings a folder and all in it to the disk."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(path, name))
        sync(Path(path))


def sync(path: Path) -> None:
    """Brings a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Versions appear in a TF Serving base path whole or not at all.

A server that polls a base path loads whatever folder has an integer for a name. So a version is written under
a name that is not one, brought to disk, and renamed: within one file system a rename either happened or did
not.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator

from ikelos.serving import files

_PREFIX = ".incoming-"
_LOCK = "lock"
# What renaming a folder onto an existing name gives: another exporter was faster, or the name is a file's.
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


@contextlib.contextmanager
def incoming(base: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new temporary folder in the base path for one version, removed at the end.

    Makes the base path if it isn't there, and removes what earlier exporters left when they were killed.
    Whether one lives is told by a lock on a file in its folder, which dies with it: a process id says nothing
    across containers, or once it has been given to another process.

    Raises:
        OSError: a folder can't be made or locked.
    """
    _make_folder(base)
    for leftover in sorted(base.glob(f"{_PREFIX}*")):
        lock = _lock(leftover, wait=False)
        if lock is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(lock)
    lock = None
    while lock is None:  # None if another exporter took the folder for a leftover before it was locked
        folder = base / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        lock = _lock(folder, wait=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def publish(folder: pathlib.Path, base: pathlib.Path) -> pathlib.Path:
    """Brings `folder` to disk and renames it to the next version of the base path.

    Returns:
        The version's folder, numbered one above the highest there is. Exporters that run at the same time
        each get a number of their own.

    Raises:
        OSError: something can't be written. Unless only the last step failed (bringing the base path to
            disk), no version has appeared.
    """
    files.sync_tree(folder)
    while True:
        highest = newest(base)
        version = base / str(int(highest.name) + 1 if highest else 1)
        try:
            os.rename(folder, version)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            continue
        files.sync(base)
        return version


def newest(base: pathlib.Path) -> pathlib.Path | None:
    """The newest version in a base path, None if there is none or no base path.

    As TensorFlow Serving sees it: whatever has a number for a name is a version, without a look inside, and the
    highest number is the newest. One that holds no model is a server's failure to load, not a reason to serve an
    older one.
    """
    names = os.listdir(base) if base.is_dir() else []
    numbered = [base / name for name in names if name.isascii() and name.isdigit()]
    return max(numbered, key=lambda path: int(path.name), default=None)


def _make_folder(path: pathlib.Path) -> None:
    path = path.absolute()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        files.sync(folder.parent)


def _lock(folder: pathlib.Path, wait: bool) -> int | None:
    """Locks a temporary folder for this process; None if another holds it or has removed it."""
    path = folder / _LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        # While this one waited, another exporter may have held the lock to remove the folder.
        if os.stat(path).st_ino == os.fstat(lock).st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None

"""Publishes versions in a TensorFlow Serving base path, completely or not at all.

A server that polls a base path loads every folder whose name is an integer. So a version is written under another name,
flushed to the disk, and then renamed. Renaming is atomic within one file system.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterator

from ikelos.serving import files

_PREFIX = ".incoming-"
_LOCK = "lock"
_LARGEST = 2**63 - 1
"""TensorFlow Serving's versions are int64; it ignores other folders."""
# Errors from renaming a folder to a name that exists: another exporter was faster, or there is a file of that name.
_NAME_EXISTS = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


@contextlib.contextmanager
def incoming(base: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context manager that yields a new temporary folder for one version in the base path, and removes it at the end.

    It creates the base path if it does not exist, and removes the folders that killed exporters left. A running
    exporter holds a lock on a file in its folder; the lock ends with the process. Process ids are not used, because
    they can be reused and have no meaning in other containers.

    Raises:
        OSError: If a folder cannot be created or locked.
    """
    _make_folder(base)
    for leftover in sorted(base.glob(f"{_PREFIX}*")):
        lock = _lock(leftover, wait=False)
        if lock is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(lock)
    lock = None
    while lock is None:  # Another exporter may have removed the folder as a leftover before it was locked.
        folder = base / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        lock = _lock(folder, wait=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def publish(folder: pathlib.Path, base: pathlib.Path) -> pathlib.Path:
    """Flushes `folder` to the disk and renames it to the next version of the base path.

    Returns:
        The version's folder, whose number is one above the highest. Exporters that run at the same time get different
        numbers.

    Raises:
        OSError: If a file cannot be written. No version has appeared then, unless only flushing the base path failed.
    """
    files.sync_tree(folder)
    while True:
        highest = newest(base)
        version = base / str(int(highest.name) + 1 if highest else 1)
        try:
            os.rename(folder, version)
        except OSError as error:
            if error.errno not in _NAME_EXISTS:
                raise
            continue
        files.sync(base)
        return version


def newest(base: pathlib.Path) -> pathlib.Path | None:
    """Returns the folder of the newest version in a base path; None if there is no version or no base path.

    As in TensorFlow Serving, every name that is a number is a version, whatever it contains, and the highest number is
    the newest. If the newest one contains no model, a server fails to load it instead of serving an older one.
    """
    numbered = versions(base)
    return numbered[max(numbered)] if numbered else None


def versions(base: pathlib.Path) -> dict[int, pathlib.Path]:
    """Returns the folders of all versions in a base path by number, as `newest` finds them."""
    try:
        names = os.listdir(base)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    numbers = {int(name): base / name for name in sorted(names) if name.isascii() and name.isdigit()}
    return {number: folder for number, folder in numbers.items() if number <= _LARGEST}


def model_name(base: pathlib.Path) -> str:
    """Returns the name of the model with a base path: its folder's, or for the export of a run that of the run.

    It has only characters that need no escape in a URL and in Docker's options.
    """
    folder = base.parent if base.name == "export" else base
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", folder.name) or "model"


def _make_folder(path: pathlib.Path) -> None:
    path = path.absolute()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        files.sync(folder.parent)


def _lock(folder: pathlib.Path, wait: bool) -> int | None:
    """Locks a temporary folder for this process and returns the file descriptor of the lock.

    Returns None if another process removed the folder or, without `wait`, holds the lock.
    """
    path = folder / _LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        # While this process waited, another exporter may have held the lock to remove the folder.
        if os.stat(path).st_ino == os.fstat(lock).st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None

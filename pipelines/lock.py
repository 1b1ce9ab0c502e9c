"""One run at a time in a folder."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ikelos.pipelines.console import say
from ikelos.pipelines.errors import UserError

_LONGEST = 20
"""Bytes of the number of a process."""


@contextlib.contextmanager
def locked(workdir: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds `<workdir>/lock` for this process, and writes its pid there.

    The kernel drops the lock with the process, however it ends, so a file left by a killed run is no
    obstacle. The file itself stays: deleting it would let a third process lock a new file beside a
    second one's old file.

    Args:
        workdir: The folder, made if there is none.
        wait: Waits for another process that holds the lock, for as long as it takes.

    Raises:
        UserError: Another process holds it and `wait` is false, the folder cannot be written, or its `lock` is not a
            file that this function made: it is left as it is.
    """
    path = workdir / "lock"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # Neither through a link nor waiting for the reader of a pipe.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _no_lock(path) from None
        raise UserError(f"Cannot write to the folder {workdir}: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_lock(path)
    with open(descriptor, "r+b") as file:
        process = _process(file.read(_LONGEST + 1), path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise UserError(
                    f"The folder {workdir} is in use by process {process}: "
                    "wait for it to end, or choose another folder."
                ) from None
            say(f"Waiting for process {process}, which is at work in {workdir}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()).encode())
        file.flush()
        yield


def _process(content: bytes, path: Path) -> str:
    """The process that a lock names; it may be one that has ended, or still about to write its number."""
    if content and not (content.isdigit() and len(content) <= _LONGEST):
        raise _no_lock(path)
    return content.decode() or "unknown"


def _no_lock(path: Path) -> UserError:
    return UserError(f"{path} must be the lock of a run, a file with the number of a process. Received: something else")

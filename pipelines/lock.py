"""The lock by which only one process at a time works in a folder."""

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
"""Maximum number of digits in a process id."""


@contextlib.contextmanager
def locked(workdir: Path, *, wait: bool = False) -> Iterator[None]:
    """Context manager that locks `<workdir>/lock` for this process and writes its process id there.

    The kernel releases the lock when the process ends, even if it is killed, so a file left behind does not block the
    next run. The file is never deleted. Otherwise one process could wait for the lock of the deleted file and get it
    while another process locks a new file.

    Args:
        workdir: The folder, created if missing.
        wait: Whether to wait for another process that holds the lock, without a time limit.

    Raises:
        UserError: If another process holds the lock and `wait` is false, the folder cannot be written, or its `lock`
            is not a file that this function made, which is then left unchanged.
    """
    path = workdir / "lock"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # Follow no link, and do not block if the file is a named pipe.
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
            say(f"Waiting for process {process}, which is using {workdir}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()).encode())
        file.flush()
        yield


def _process(content: bytes, path: Path) -> str:
    """Returns the process id in a lock file, or `unknown`. The process may have ended, or not written its id yet."""
    if content and not (content.isdigit() and len(content) <= _LONGEST):
        raise _no_lock(path)
    return content.decode() or "unknown"


def _no_lock(path: Path) -> UserError:
    return UserError(f"{path} must be the lock of a run, a file with the number of a process. Received: something else")

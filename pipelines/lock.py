"""One run at a time in a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ikelos.pipelines.console import console
from ikelos.pipelines.errors import UserError


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
        UserError: Another process holds it and `wait` is false, or the folder cannot be written.
    """
    path = workdir / "lock"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(f"Cannot write to the folder {workdir}: {error.strerror}.") from error
    with open(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = file.read() or "unknown"
            if not wait:
                raise UserError(
                    f"The folder {workdir} is in use by process {process}: "
                    "wait for it to end, or choose another folder."
                ) from None
            console().print(f"Waiting for process {process}, which is at work in {workdir}", soft_wrap=True)
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield

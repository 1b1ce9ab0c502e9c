"""Checks of folders that are made before anything slow is imported."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ikelos.pipelines.cli.failures import reason
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.lock import locked


def prepare(workdir: Path) -> None:
    """Makes the folder if need be, tries to write to it, and to lock it as the runner will.

    Raises:
        UserError: It cannot be made or written (no permission, a file in the way, a full disk), or another
            process is at work in it.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"cannot write to {workdir}: it is not a folder")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        raise UserError(f"cannot write to the folder {workdir}: {reason(error)}") from error
    with locked(workdir):
        pass


@contextlib.contextmanager
def named(workdir: Path) -> Iterator[None]:
    """Notes the folder on any exception: a failed write to an open file does not say to which."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in {workdir}")
        raise

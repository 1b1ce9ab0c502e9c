"""Checks of folders, made before any slow import."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ikelos.pipelines.cli.failures import reason
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.lock import locked


def prepare(workdir: Path) -> None:
    """Checks that a run can write to a folder and to the folders in it that exist; makes the folder if it is missing.

    Raises:
        UserError: If a folder cannot be made or written (no permission, a file in the way, a full disk), its path is
            not UTF-8, or another process is using it.
    """
    check_name(workdir)
    check_writable(workdir)
    folder = Folder(workdir)
    # All folders that a phase writes to. The preprocessing is written once, and renamed when it is complete.
    for part in (folder.stages, folder.models, folder.evaluations, folder.report, folder.export):
        if os.path.lexists(part):
            check_writable(part)
    with locked(workdir):
        pass


def check_name(folder: Path) -> None:
    """Checks that TensorFlow accepts the path of a folder.

    Raises:
        UserError: If it is not UTF-8.
    """
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"the folder's path must be UTF-8, because TensorFlow accepts no other. Received: {folder}"
        ) from None


def check_writable(folder: Path) -> None:
    """Makes a folder, unless it exists, and checks that a file can be written to it.

    Raises:
        UserError: If the folder cannot be made or written: no permission, a file in the way, or a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except FileExistsError:
        raise UserError(f"{folder} must be a folder to write to. Received: a file") from None
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {reason(error)}") from error


def check_run(workdir: Path, overrides: Sequence[str] = ()) -> None:
    """Checks that a run was made in this folder, and that it can be evaluated with these overrides.

    Raises:
        UserError: If the folder or its recipe is missing, or the recipe or an override is invalid.
    """
    # Here, because `ikelos --help` does not need it: pydantic takes longer to import than everything else.
    from ikelos.pipelines import continuation

    folder = Folder(workdir)
    folder.check()
    continuation.load_to_evaluate(folder, overrides)


@contextlib.contextmanager
def named(workdir: Path) -> Iterator[None]:
    """Context manager that adds the folder as a note to every exception.

    The error of a write to an open file names no path.
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"in {workdir}")
        raise

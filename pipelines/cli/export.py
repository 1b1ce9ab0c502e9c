"""`ikelos export`."""

from pathlib import Path
from typing import Annotated

import typer

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.quiet import load_runner
from ikelos.pipelines.console import print_written
from ikelos.pipelines.folder import Folder

EXAMPLE = (
    "Example: [bold]ikelos export runs/language_modeling[/bold]"
    "\n\nWrites a new WORKDIR/export/VERSION/, whole or not at all; older versions stay."
)


def export(
    workdir: Annotated[Path, typer.Argument(metavar="WORKDIR", help="The folder of a run.", show_default=False)],
) -> None:
    """Export the model of a run as a SavedModel that TensorFlow Serving loads."""
    Folder(workdir).check()
    folders.prepare(workdir)
    with folders.named(workdir):
        written = load_runner().export(workdir)
    print_written(written)

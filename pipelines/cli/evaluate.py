"""`ikelos evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.quiet import load_runner
from ikelos.pipelines.console import print_written

EXAMPLE = (
    "Example: [bold]ikelos evaluate runs/language_modeling[/bold]"
    "\n\nWrites WORKDIR/evaluation.json and WORKDIR/report/."
)


def evaluate(
    workdir: Annotated[Path, typer.Argument(metavar="WORKDIR", help="The folder of a run.", show_default=False)],
) -> None:
    """Evaluate the model of a run again, beside its baselines."""
    folders.check_run(workdir)
    folders.prepare(workdir)
    with folders.named(workdir):
        written = load_runner().evaluate(workdir)
    print_written(written)

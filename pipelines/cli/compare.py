"""`ikelos compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ikelos.pipelines.cli.quiet import load_comparison
from ikelos.pipelines.cli.written import print_written
from ikelos.pipelines.console import columns, console
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder

if TYPE_CHECKING:
    from ikelos.pipelines.comparison import Comparison

EXAMPLE = (
    "Example: [bold]ikelos compare runs/image_generation_vae runs/letters[/bold]"
    "\n\nWrites FOLDER/report.html and FOLDER/report.json; nothing to the runs."
)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="WORKDIR", help="Folders of runs.", show_default=False)],
    folder: Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Where to write the page.")] = Path(
        "comparison"
    ),
) -> None:
    """Show what differs between finished runs of one task, and their figures and curves side by side."""
    if len(runs) < 2:
        raise UserError(f"`ikelos compare` must be given two runs or more. Received: {len(runs)}")
    for workdir in runs:
        Folder(workdir).check()
    show(load_comparison().compare(runs, folder))


def show(comparison: "Comparison") -> None:
    """Prints the figures, and where the page is."""
    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("")
    for metric in comparison.metrics:
        table.add_column(metric.unit, justify="right")
    for row in load_comparison().rows(comparison):
        table.add_row(*map(escape, row))
    out.print(table)
    if not comparison.same_data:
        out.print(load_comparison().OTHER_DATA)
    if comparison.differences and not comparison.spread:
        out.print("\n[bold]What differs in their recipes[/bold]")
        out.print(columns({key: " | ".join(map(str, values)) for key, values in comparison.differences.items()}))
    print_written(comparison.written)

"""`ikelos compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import path
from ikelos.pipelines.cli.quiet import load_comparison
from ikelos.pipelines.cli.written import print_written
from ikelos.pipelines.console import columns, console, shown
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder

if TYPE_CHECKING:
    from ikelos.pipelines.comparison import Comparison

EXAMPLE = (
    "Example: [bold]ikelos compare runs/image_generation_vae runs/letters[/bold]"
    "\n\nWrites FOLDER/report.html and FOLDER/report.json, and nothing to the folders of the runs."
)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="WORKDIR", help="The folders of the runs.", show_default=False, parser=path),
    ],
    folder: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="Where to write the page.", parser=path)
    ] = Path("runs/comparison"),
) -> None:
    """Compare finished runs of one task: their recipes, figures and curves."""
    if len(runs) < 2:
        raise UserError("WORKDIR must be given at least twice. Received: one folder")
    for workdir in runs:
        Folder(workdir).check()
    # The results are stored by the path of the run. Two paths of one folder would be compared as if they were two runs.
    folder_of: dict[Path, Path] = {}
    for workdir in runs:
        first = folder_of.setdefault(workdir.resolve(), workdir)
        if first is not workdir:
            raise UserError(f"WORKDIR must be a different folder each time. Received: {first} and {workdir}, the same")
    folders.check_writable(folder)
    show(load_comparison().compare(runs, folder))


def show(comparison: "Comparison") -> None:
    """Prints the figures of a comparison and the path of its page."""
    # Here, because `ikelos --help` does not need it: pydantic takes longer to import than everything else.
    from ikelos.pipelines.recipe import written

    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    rows = list(load_comparison().rows(comparison))
    # Long names of runs are wrapped, figures are not.
    table.add_column("", overflow="fold")
    for place, metric in enumerate(comparison.metrics, start=1):
        table.add_column(metric.unit, justify="right", min_width=max(len(row[place]) for row in rows))
    for row in rows:
        table.add_row(*map(shown, row))
    out.print(table)
    if not comparison.same_data:
        out.print(load_comparison().OTHER_DATA)
    if comparison.differences and not comparison.spread:
        out.print("\n[bold]Differences between the recipes[/bold]")
        out.print(columns({key: " | ".join(map(written, values)) for key, values in comparison.differences.items()}))
    print_written(comparison.written)

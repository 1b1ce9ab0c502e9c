"""`ikelos data`."""

from pathlib import Path
from typing import Any

from rich.table import Table

from ikelos.pipelines.cli.arguments import Overrides, Recipe
from ikelos.pipelines.cli.quiet import load_runner
from ikelos.pipelines.console import columns, console, shown

EXAMPLE = (
    "Example: [bold]ikelos data language_modeling[/bold]"
    "\n\nWrites prepared data to $IKELOS_CACHE/data, by default ~/.cache/ikelos/data, where all runs with the same "
    "data find it. The same command continues a preparation that was killed."
)
_SHOWN = 200
"""Most characters of a text that are shown."""


def data(
    recipe: Recipe,
    overrides: Overrides = None,
) -> None:
    """Prepare the data of a recipe and describe it."""
    from ikelos.pipelines import recipe as recipes

    loaded = recipes.load(recipe, overrides or [])
    found = load_runner().describe(loaded)
    from ikelos.pipelines.data import description  # imports TensorFlow, which `load_runner` has loaded

    out = console()
    out.print(_table(found.splits))
    classes = {name: split["classes"] for name, split in found.splits.items() if split["classes"]}
    if classes:
        out.print("\n[bold]Classes[/bold] (train, validation, test)")
        names = next(iter(classes.values()))
        out.print(columns({name: ", ".join(f"{counts[name]:,}" for counts in classes.values()) for name in names}))
    numbers = {name: description.left_out(split) for name, split in found.splits.items()}
    if any(numbers.values()):
        out.print("\n[bold]Left out[/bold]")
        out.print(columns({name: number for name, number in numbers.items() if number}))
        for split in found.splits.values():
            for fault in split["faults"]:
                out.print(f"  {shown(fault)}", soft_wrap=True)
    if found.texts:
        out.print("\n[bold]The first texts[/bold]")
        for text in found.texts:
            out.print(f"  {shown(repr(text[:_SHOWN]))}", soft_wrap=True)
    out.print("\n[bold]Prepared[/bold]")
    written: dict[str, Path | str] = {"Folder": found.folder}
    if found.picture is not None:
        written["The first images"] = found.picture
    out.print(columns(written | {"A batch takes": f"{1e3 * found.batch_seconds:.2f} ms"}))


def _table(splits: dict[str, dict[str, Any]]) -> Table:
    """Returns a table with a column for each split, which fits a terminal: the splits are few, the rows are not."""
    rows: dict[str, list[str]] = {
        "examples": [f"{split['examples']:,}" for split in splits.values()],
        "size": [f"{split['bytes'] / 1e6:,.1f} MB" for split in splits.values()],
    }
    for name in next(iter(splits.values()))["lengths"]:
        of = [split["lengths"][name] for split in splits.values()]
        rows[f"{name}: total"] = [f"{lengths['sum']:,}" for lengths in of]
        rows[f"{name}: shortest"] = [f"{lengths['min']:,}" for lengths in of]
        rows[f"{name}: median"] = [f"{lengths['median']:,.0f}" for lengths in of]
        rows[f"{name}: longest"] = [f"{lengths['max']:,}" for lengths in of]
    rows["left out"] = [f"{sum(split['skipped'].values()) + split['empty']:,}" for split in splits.values()]
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("")
    for name in splits:
        table.add_column(name, justify="right")
    for title, cells in rows.items():
        table.add_row(title, *cells)
    return table

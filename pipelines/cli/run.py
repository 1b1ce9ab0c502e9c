"""`ikelos run`."""

from pathlib import Path
from typing import Annotated

import typer

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import Overrides, Recipe, path
from ikelos.pipelines.cli.quiet import load_runner
from ikelos.pipelines.cli.written import print_written
from ikelos.pipelines.console import console, shown

EXAMPLE = (
    "Example: [bold]ikelos run language_modeling --set training.steps=20 --workdir runs/small[/bold]"
    "\n\nThe same command continues a run that was ended, from its last checkpoint. "
    "Of a finished one it does what is missing, and nothing twice: [bold]ikelos evaluate[/bold] and "
    "[bold]ikelos export[/bold] do these again."
    "\n\nWrites to its folder: recipe.yaml, preprocessing/, stages/ (checkpoints, TensorBoard), evaluation.json, "
    "report/report.html and export/VERSION/."
)


def run(
    recipe: Recipe,
    overrides: Overrides = None,
    workdir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write.", show_default="runs/<name of the recipe>", parser=path),
    ] = None,
) -> None:
    """Run a recipe: prepare the data, train, evaluate, export, report."""
    # Not at the top, for the sake of `ikelos --help`: pydantic takes longer to import than all the rest.
    from ikelos.pipelines import recipe as recipes

    loaded = recipes.load(recipe, overrides or [])
    folder = workdir or Path("runs") / loaded.name
    folders.prepare(folder)
    title = f"[bold]{shown(loaded.name)}[/bold] in {shown(folder)}"
    console().print(f"{title}: {shown(loaded.description)}", soft_wrap=True)
    with folders.named(folder):
        written = load_runner().run(loaded, folder)
    print_written(written)

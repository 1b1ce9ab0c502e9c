"""`ikelos run`."""

from pathlib import Path
from typing import Annotated

import typer

from ikelos.pipelines.cli import compare, folders
from ikelos.pipelines.cli.arguments import Overrides, Recipe, path
from ikelos.pipelines.cli.quiet import load_comparison, load_runner
from ikelos.pipelines.cli.written import print_written
from ikelos.pipelines.console import console, shown
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder

EXAMPLE = (
    "Example: [bold]ikelos run language_modeling --set training.steps=20 --workdir runs/small[/bold]"
    "\n\nThe same command continues an interrupted run from its last checkpoint. "
    "If the run is finished, only missing parts are made; with more training steps, training continues. "
    "--set from=runs/small begins with the weights of another run."
    "\n\nWrites to its folder: recipe.yaml, preprocessing/, stages/ (checkpoints, TensorBoard), models/ (for Keras), "
    "evaluation.json, report/report.html and export/VERSION/. With --seeds, it writes a run for each seed to seed-N/, "
    "and comparison/."
)

_COMPARISON = "comparison"
"""Name of the folder with the page that compares all seeds. It lies beside the folders of the seeds."""


def run(
    recipe: Recipe,
    overrides: Overrides = None,
    workdir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write.", show_default="runs/<name of the recipe>", parser=path),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Train with each of these seeds, one after the other.")
    ] = None,
) -> None:
    """Run a recipe: prepare the data, train, evaluate, export, report."""
    # Here, because `ikelos --help` does not need it: pydantic takes longer to import than everything else.
    from ikelos.pipelines import continuation
    from ikelos.pipelines import recipe as recipes

    loaded = recipes.load(recipe, overrides or [])
    folder = workdir or Path("runs") / loaded.name
    numbers = [] if seeds is None else _numbers(seeds)
    # All runs are checked before the first one begins.
    runs = {
        folder / f"seed-{seed}": recipes.load(recipe, [*(overrides or []), *_seeding(loaded, seed)]) for seed in numbers
    }
    runs = runs or {folder: loaded}
    for place, seeded in runs.items():
        continuation.check_same_run(seeded, Folder(place))
        folders.prepare(place)
    if len(runs) > 1:
        folders.check_writable(folder / _COMPARISON)
    about = f": {shown(loaded.description)}" if loaded.description else ""
    console().print(f"[bold]{shown(loaded.name)}[/bold] in {shown(folder)}{about}", soft_wrap=True)
    for place, seeded in runs.items():
        if numbers:
            console().print(f"\n[bold]{shown(place.name)}[/bold]")
        with folders.named(place):
            written = load_runner().run(seeded, place)
        print_written(written)
    if len(numbers) > 1:
        console().print("\n[bold]All seeds[/bold]")
        compare.show(load_comparison().compare(list(runs), folder / _COMPARISON))


def _numbers(seeds: str) -> list[int]:
    """Returns the seeds in a text such as `0,1,2`."""
    numbers = [int(text) if text.strip().isdecimal() else -1 for text in seeds.split(",")]
    if min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UserError(f"`--seeds` must be whole numbers, each once, such as 0,1,2. Received: --seeds {seeds}")
    return numbers


def _seeding(loaded, seed: int) -> list[str]:
    """Returns the overrides that give every stage of a recipe a seed."""
    from ikelos.pipelines.recipe.sections import trainings

    return [f"{key}.seed={seed}" for key, _ in trainings(loaded.config)]

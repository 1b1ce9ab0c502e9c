"""`ikelos pipeline` and `ikelos node`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import Overrides, Recipe, path
from ikelos.pipelines.cli.quiet import load_pipelines
from ikelos.pipelines.console import console, shown

EXAMPLE = (
    "Example: [bold]ikelos pipeline language_modeling --on local --set training.steps=20[/bold]"
    "\n\nNodes whose inputs have not changed since an earlier run are not run again. A model that meets the recipe's "
    "conditions (pipeline.blessing) becomes the next version in the folder of --push-to."
)
NODE_EXAMPLE = "Example: [bold]ikelos node runs/pipelines/language_modeling/pipeline.json Trainer --run-id today[/bold]"


class Scheduler(StrEnum):
    """Where a pipeline runs."""

    LOCAL = "local"


def pipeline(
    recipe: Recipe,
    on: Annotated[Scheduler, typer.Option("--on", help="Where it runs.")],
    overrides: Overrides = None,
    workdir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the pipeline: its artifacts and its metadata.",
            show_default="runs/pipelines/<name of the recipe>",
            parser=path,
        ),
    ] = None,
    push_to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Base path from which TensorFlow Serving loads models.",
            show_default="WORKDIR/served",
            parser=path,
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="NODE", help="Begin with this node; earlier ones are those of the last run."),
    ] = None,
) -> None:
    """Run a recipe as a TFX pipeline."""
    from ikelos.pipelines import recipe as recipes

    loaded = recipes.load(recipe, overrides or [])
    folder = (workdir or Path("runs") / "pipelines" / loaded.name).absolute()
    destination = (push_to or folder / "served").absolute()
    for place in (folder, destination):
        folders.check_writable(place)
    build, compiled, local = load_pipelines("build", "compiled", "local")
    place = build.Place(str(folder / "artifacts"), str(destination), folder / "metadata" / "metadata.sqlite")
    made = compiled.compile_pipeline(build.pipeline(loaded, place))
    compiled.write(folder / "pipeline.json", made)
    out = console()
    out.print(f"[bold]{shown(loaded.name)}[/bold] in {shown(folder)}\n", soft_wrap=True)
    local.run(made, first)
    out.print(f"\nArtifacts in {shown(folder / 'artifacts')}; models to serve in {shown(destination)}", soft_wrap=True)


def node(
    compiled_pipeline: Annotated[
        Path, typer.Argument(metavar="PIPELINE", help="A file that `ikelos pipeline` wrote.", parser=path)
    ],
    node_id: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.")],
    run_id: Annotated[str, typer.Option(metavar="TEXT", help="Name of the run, the same for all its nodes.")],
) -> None:
    """Run one node of a pipeline, as schedulers do."""
    compiled, runner = load_pipelines("compiled", "node")
    outcome = runner.run(compiled.read(compiled_pipeline), node_id, run_id)
    console().print(f"{shown(node_id)}: {outcome}", soft_wrap=True)

"""`ikelos pipeline` and `ikelos node`."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import Overrides, Recipe, path
from ikelos.pipelines.cli.quiet import load_pipelines
from ikelos.pipelines.console import columns, console, shown
from ikelos.pipelines.errors import UserError

EXAMPLE = (
    "Example: [bold]ikelos pipeline language_modeling --on local --set training.steps=20[/bold]"
    "\n\nNodes whose inputs have not changed since an earlier run are not run again. A model that meets the recipe's "
    "conditions (pipeline.blessing) becomes the next version in the folder of --push-to."
)
_STORES = ("gs://", "s3://")
"""Beginnings of the URLs that our nodes, those of TFX and Apache Beam can all write to."""
NODE_EXAMPLE = "Example: [bold]ikelos node PIPELINE.json Trainer --run-id today[/bold]"


class Scheduler(StrEnum):
    """Where a pipeline runs."""

    LOCAL = "local"
    AIRFLOW = "airflow"
    KUBEFLOW = "kubeflow"


NoCache = Annotated[bool, typer.Option("--no-cache", help="Run nodes again even if their inputs have not changed.")]


def pipeline(
    recipe: Recipe,
    on: Annotated[Scheduler, typer.Option("--on", help="Run it here, or write it for a scheduler.")],
    overrides: Overrides = None,
    workdir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the pipeline: its file, artifacts and metadata.",
            show_default="runs/pipelines/<name of the recipe>",
            parser=path,
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Where the artifacts go; for Kubeflow a URL that begins with gs:// or s3://.",
            show_default="WORKDIR/artifacts",
        ),
    ] = None,
    push_to: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Base path from which TensorFlow Serving loads models.",
            show_default="WORKDIR/served",
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NODE", help="With --on local: run this node again, and those that depend on it."
        ),
    ] = None,
    no_cache: NoCache = False,
    image: Annotated[
        str | None, typer.Option(help="With --on kubeflow: the container image with Ikelos and TFX.")
    ] = None,
) -> None:
    """Run a recipe as a TFX pipeline, or write it for a scheduler."""
    from ikelos.pipelines import recipe as recipes

    loaded = recipes.load(recipe, overrides or [])
    folder = (workdir or Path("runs") / "pipelines" / loaded.name).absolute()
    _check_options(on, first, no_cache, image, artifacts, push_to)
    root = folder / "artifacts" if artifacts is None else _place("--artifacts", artifacts)
    destination = folder / "served" if push_to is None else _place("--push-to", push_to)
    for place in (folder, root, destination):
        if isinstance(place, Path):
            folders.check_name(place)
            folders.check_writable(place)
    build, compiled = load_pipelines("build", "compiled")
    metadata = None if on is Scheduler.KUBEFLOW else folder / "metadata" / "metadata.sqlite"
    made = build.pipeline(loaded, build.Place(str(root), str(destination), metadata))
    out = console()
    out.print(f"[bold]{shown(loaded.name)}[/bold] in {shown(folder)}\n", soft_wrap=True)
    if on is Scheduler.KUBEFLOW:
        (kubeflow,) = load_pipelines("kubeflow")
        file = folder / "pipeline.yaml"
        kubeflow.write(made, loaded.config.pipeline, image, build.states(loaded), file)
        out.print(columns({"Specification": file, "Artifacts": root, "Models to serve": destination}))
        return
    representation = compiled.compile_pipeline(made)
    if on is Scheduler.AIRFLOW:
        from ikelos.serving import files

        (airflow,) = load_pipelines("airflow")
        # Its name depends on its content: a DAG never runs another pipeline than the one it was written for.
        file = compiled.write(folder, representation)
        dag = folder / f"{build.name(loaded).replace('-', '_')}_dag.py"
        command = Path(sys.executable).with_name("ikelos")
        nodes = compiled.nodes(representation)
        files.write(dag, airflow.dag(loaded, nodes, file, command, Path.cwd()))
        out.print(columns({"DAG": dag, "Pipeline": file, "Artifacts": root, "Models to serve": destination}))
        out.print(f"\n[bold]Install it[/bold]\ncp {shlex.quote(str(dag))} $AIRFLOW_HOME/dags/", soft_wrap=True)
        return
    (local,) = load_pipelines("local")
    local.run(representation, first, not no_cache)
    out.print(columns({"Artifacts": root, "Models to serve": destination}))


def _check_options(
    on: Scheduler, first: str | None, no_cache: bool, image: str | None, artifacts: str | None, push_to: str | None
) -> None:
    """Checks the options that only some schedulers take."""
    if on is not Scheduler.LOCAL and (first is not None or no_cache):
        raise UserError(f"`--from` and `--no-cache` must come with --on local. Received: --on {on}")
    if (on is Scheduler.KUBEFLOW) != (image is not None):
        raise UserError(f"`--image` must come with --on kubeflow, and only there. Received: --on {on}")
    if on is Scheduler.KUBEFLOW:
        for name, place in (("--artifacts", artifacts), ("--push-to", push_to)):
            if place is None or not place.startswith(_STORES):
                raise UserError(
                    f"`{name}` must begin with {' or '.join(_STORES)} with --on kubeflow. Received: {place}"
                )
    elif artifacts is not None and "://" in artifacts:
        raise UserError(f"`--artifacts` must be a folder with --on {on}. Received: {artifacts}")


def _place(option: str, given: str) -> Path | str:
    """Returns a place as a path, or as a URL if it is an object store."""
    if not given or given.startswith("file:"):
        raise UserError(f"`{option}` must be a path, or the URL of an object store. Received: {given!r}")
    return given if "://" in given else Path(given).expanduser().absolute()


def node(
    compiled_pipeline: Annotated[
        Path, typer.Argument(metavar="PIPELINE", help="A file that `ikelos pipeline` wrote.", parser=path)
    ],
    node_id: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.")],
    run_id: Annotated[str, typer.Option(metavar="TEXT", help="Name of the run, the same for all its nodes.")],
    no_cache: NoCache = False,
) -> None:
    """Run one node of a pipeline, as schedulers do."""
    compiled, runner = load_pipelines("compiled", "node")
    outcome = runner.run(compiled.read(compiled_pipeline), node_id, run_id, not no_cache)
    console().print(f"{shown(node_id)}: {outcome}", soft_wrap=True)

"""`ikelos runs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ikelos.pipelines.cli.arguments import path_or_url
from ikelos.pipelines.console import columns, console, shown
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder

if TYPE_CHECKING:
    from ikelos.pipelines.tfx.metadata import Run

EXAMPLE = (
    "Example: [bold]ikelos runs runs/pipelines/language_modeling --version newest[/bold]"
    "\n\nWithout --version, lists the runs of a pipeline, the newest last; of the folder of `ikelos run`, or of served "
    "models, it shows the newest version. A node that was killed is shown as running until it is run again. Writes no "
    "files."
)


def runs(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|URL",
            help="The folder of a pipeline (--workdir of `ikelos pipeline`), of a run, or of served models (--push-to "
            "of `ikelos pipeline`); the last may be a URL, such as gs://bucket/folder.",
            show_default=False,
            parser=path_or_url,
        ),
    ],
    version: Annotated[
        str | None,
        typer.Option(
            metavar="N|newest",
            help="Show which data and code made this version of the served model.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the runs of a pipeline, or show which data and code made a served model."""
    from ikelos.pipelines import lineage
    from ikelos.pipelines.tfx import push, served, storage

    number = None if version is None else lineage.number(version)
    folder = Path(place) if storage.is_local(place) else None
    if folder is not None and (file := folder / "metadata" / "metadata.sqlite").is_file():
        _print_pipeline(file, version, number)
    elif folder is not None and Folder(folder).recipe.is_file():
        console().print(columns(lineage.of_run(folder, number)))
    elif push.newest_version(place) is not None:
        console().print(columns(served.lineage(place, number)))
    else:
        raise UserError(
            "FOLDER must be the folder of a pipeline, with metadata/metadata.sqlite, of a run, with recipe.yaml, or of "
            f"served models, with a version. Received: {place}"
        )


def _print_pipeline(file: Path, version: str | None, number: int | None) -> None:
    from ikelos.pipelines.tfx import needs

    needs.check()
    # Not by `load_pipelines`: ML Metadata is read without TensorFlow, which takes seconds to load.
    from ikelos.pipelines.tfx import metadata

    if version is not None:
        console().print(columns(metadata.lineage(file, number)))
        return
    for run in metadata.runs(file):
        _print_run(run)


def _print_run(run: "Run") -> None:
    out = console()
    out.print(f"[bold]{shown(run.id)}[/bold]  {run.begin:%Y-%m-%d %H:%M:%S} UTC", soft_wrap=True)
    rows: dict[str, str] = {}
    for state in ("done", "cached", "failed", "running"):
        if names := [name for name, of_node in run.nodes.items() if of_node == state]:
            rows[state.capitalize()] = ", ".join(names)
    if run.result is not None:
        rows["Result"] = run.result
    if run.against is not None:
        rows["Blessed"] = "\n".join(["no", *run.against]) if run.against else "yes"
    if run.version is not None:
        rows["Pushed"] = run.version if run.pushed_here else f"{run.version}, by an earlier run"
    out.print(columns(rows))

"""`ikelos schema infer`."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from ikelos.pipelines.cli import folders
from ikelos.pipelines.cli.arguments import Overrides, Recipe, path
from ikelos.pipelines.cli.quiet import load_pipelines
from ikelos.pipelines.console import columns, console
from ikelos.pipelines.errors import UserError

EXAMPLE = (
    "Example: [bold]ikelos schema infer language_modeling --output schema.pbtxt[/bold]"
    "\n\nReads all examples of the recipe. A pipeline with pipeline.examples_schema=schema.pbtxt stops at examples "
    "that do not agree with the schema, so check it before. Writes no files but that of --output."
)


def infer(
    recipe: Recipe,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the schema there and do not print it.", parser=path),
    ] = None,
) -> None:
    """Propose a schema from the examples of a recipe."""
    from ikelos.pipelines import recipe as recipes

    loaded = recipes.load(recipe, overrides or [])
    if output is not None:
        if output.is_dir():
            raise UserError(f"`--output` must be a file. Received: --output {output}, a folder")
        folders.check_writable(output.absolute().parent)
    # Standard output is for the schema alone, and not for the progress.
    with contextlib.redirect_stdout(sys.stderr):
        (schemas,) = load_pipelines("schemas")
        text = schemas.infer(loaded)
    if output is None:
        print(text, end="")
        return
    output.write_text(text, encoding="utf-8")
    console().print(columns({"Schema": output}))

"""Arguments that commands share."""

from pathlib import Path
from typing import Annotated

import typer


def path(text: str) -> Path:
    """A path as it was written; an empty one, which Python takes for the current folder, is a variable that is not set.

    Raises:
        BadParameter: It is empty.
    """
    if not text:
        raise typer.BadParameter("must be a path. Received: ''")
    return Path(text)


Recipe = Annotated[
    str,
    typer.Argument(metavar="NAME|PATH", help="A recipe of `ikelos list`, or a YAML file.", show_default=False),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key (`ikelos recipe NAME --keys` lists them), such as training.steps=20; a value is YAML, and "
        "KEY= alone removes the key. Repeatable.",
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="WORKDIR", help="The folder of a run.", show_default=False, parser=path)
]

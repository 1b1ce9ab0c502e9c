"""Arguments that commands share."""

from pathlib import Path
from typing import Annotated

import typer


def path(text: str) -> Path:
    """Returns a path as it was written.

    Raises:
        BadParameter: If the path is empty. Python would take it to be the current folder, but in a shell an empty path
            usually is a variable that is not set.
    """
    if not text:
        raise typer.BadParameter("must be a path. Received: ''")
    return Path(text)


def path_or_url(text: str) -> str:
    """Returns a path or a URL as it was written.

    Raises:
        BadParameter: If it is empty, as in `path`.
    """
    return text if "://" in text else str(path(text))


Recipe = Annotated[
    str,
    typer.Argument(
        metavar="NAME|PATH", help="Name of a recipe in `ikelos list`, or path of a YAML file.", show_default=False
    ),
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
Library = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Ikelos's native library, for exports of the flavour native.", parser=path),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="WORKDIR", help="The folder of a run.", show_default=False, parser=path)
]

"""Arguments that commands share."""

from typing import Annotated

import typer

Recipe = Annotated[
    str,
    typer.Argument(metavar="NAME|PATH", help="A recipe of `ikelos list`, or a YAML file.", show_default=False),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as training.steps=20; repeatable."),
]

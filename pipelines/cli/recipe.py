"""`ikelos recipe`."""

from typing import Annotated

import typer

from ikelos.pipelines.cli.arguments import Recipe
from ikelos.pipelines.console import console, shown

EXAMPLE = (
    "Example: [bold]ikelos recipe language_modeling > mine.yaml[/bold]"
    "\n\nRun the copy by its path: [bold]ikelos run mine.yaml[/bold]. Writes no files."
)


def recipe(
    recipe: Recipe,
    keys: Annotated[
        bool,
        typer.Option(
            "--keys", help="List every key that may be set, with its value in the recipe, its type and its meaning."
        ),
    ] = False,
) -> None:
    """Print a recipe, which can be copied and changed, or the meaning of each of its keys."""
    from ikelos.pipelines import recipe as recipes

    if keys:
        _print_keys(recipe)
    else:
        print(recipes.text(recipe), end="")


def _print_keys(name: str) -> None:
    from ikelos.pipelines import recipe as recipes
    from ikelos.pipelines.recipe import yaml12

    loaded = recipes.load(name)
    values, order = dict(recipes.leaves(recipes.plain(loaded))), list(loaded.raw)
    out = console()
    owners = recipes.section_classes(loaded.config)
    keys = recipes.keys(type(loaded.config))
    for key in sorted(keys, key=lambda key: order.index(key.top) if key.top in order else -1):
        title = f"[bold cyan]{shown(key.name)}[/bold cyan]"
        # Several kinds of a section may have a key of the same name. Only the key of the recipe's kind has a value.
        if key.name in values and key.owner in (None, owners.get(key.name.rpartition(".")[0])):
            title += f" = {shown(yaml12.inline(values[key.name]))}"
        about = key.kind + (f"; with {key.alternative}" if key.alternative else "")
        out.print(("\n" if key.section else "") + title + f"  [dim]({shown(about)})[/dim]", soft_wrap=True)
        out.print(f"    {shown(key.meaning)}", soft_wrap=True)

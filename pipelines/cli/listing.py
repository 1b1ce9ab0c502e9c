"""`ikelos list`."""

from ikelos.pipelines.console import columns, console

EXAMPLE = "Example: [bold]ikelos list[/bold]\n\nWrites no files."


def list_() -> None:
    """List the recipes and data sets that come with Ikelos."""
    from ikelos.pipelines import recipe
    from ikelos.pipelines.data import sources

    out = console()
    out.print("[bold]Recipes[/bold] (ikelos run NAME)")
    out.print(columns(recipe.names()))
    out.print("\n[bold]Data sets[/bold]")
    out.print(columns(sources.available()))

"""What the command line and the runner print alike."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def console() -> Console:
    """Standard output. Made anew for each use, so that it follows a redirected `sys.stdout`."""
    return Console(highlight=False, soft_wrap=False)


def columns(rows: Mapping[str, object]) -> Table:
    """Names and values side by side; a value too long for the terminal goes on under itself."""
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        grid.add_row(f"  {escape(name)}", escape(str(value)))
    return grid


def print_written(written: Mapping[str, Path | str]) -> None:
    """Ends a command: where it wrote what, and the `Result` if it has one."""
    out = console()
    out.print("\n[bold]Written[/bold]")
    out.print(columns({name: value for name, value in written.items() if name != "Result"}))
    if "Result" in written:
        out.print(f"\n[bold]Result[/bold]  {escape(str(written['Result']))}", soft_wrap=True)

"""What the command line and the runner print alike."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rich import progress
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


_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """How far something is that takes long: a moving line in a terminal; elsewhere, now and then, a line."""

    def __init__(self, name: str, unit: str, total: int):
        """What is done, what is counted (a plural), and how many there are."""
        self._name, self._unit, self._total, self._done = name, unit, total, 0
        self._found: int | None = None
        self._console = console()
        self._start = self._told = time.monotonic()
        size: list[progress.ProgressColumn] = [progress.DownloadColumn()] if unit == "bytes" else []
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            *(size or [progress.MofNCompleteColumn(), progress.TextColumn(unit)]),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(name, total=total)

    def __enter__(self) -> Self:
        """Shows it."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the terminal go on."""
        self._bar.stop()

    def advance(self, number: int) -> None:
        """Counts some more; the first call, what was done before and takes no time."""
        self._found = number if self._found is None else self._found
        self._done += number
        self._bar.update(self._task, completed=self._done)
        now = time.monotonic()
        if self._console.is_terminal or now - self._told < _SECONDS_BETWEEN_LINES:
            return
        self._told = now
        share = min(self._done / max(self._total, 1), 1.0)
        speed = (self._done - self._found) / (now - self._start)
        left = f"{max(self._total - self._done, 0) / speed:.0f} s left" if speed else "time left unknown"
        self._console.print(f"{self._name}: {share:.0%} of {self._total:,} {self._unit}, {left}")

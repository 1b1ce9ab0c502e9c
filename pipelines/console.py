"""Terminal output that the command line and the phases share."""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Self, TypeVar

from rich import progress as bars
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

T = TypeVar("T")

# Control characters except line feed and tab; bidirectional marks, which can disguise a name; and lone surrogates,
# which stand for bytes of names that are not UTF-8 and cannot be printed.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def console() -> Console:
    """Returns a console for the current `sys.stdout`, which prints above the moving lines if there are any."""
    return _display.console if _display.console is not None else Console(highlight=False, soft_wrap=False)


def printable(text: str) -> str:
    r"""Returns a text with its control characters written out, such as `\x1b`, so that terminals do not obey them."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(value: object) -> str:
    """Returns a value as text for rich markup, with control characters and brackets escaped."""
    return escape(printable(str(value)))


def say(line: str) -> None:
    """Prints a text without markup, never wrapped to the width of the terminal."""
    console().print(printable(line), soft_wrap=True, markup=False)


def columns(rows: Mapping[str, object]) -> Table:
    """Returns a table of names and values; a value that is too long is wrapped within its column."""
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        grid.add_row(f"  {shown(name)}", shown(value))
    return grid


def duration(seconds: float) -> str:
    """Returns a duration as text: `45 s`, `2 min 20 s`, `1 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


_SECONDS_BEFORE_FIRST_LINE, _SECONDS_BETWEEN_LINES = 10.0, 30.0


class Progress:
    """Progress display of a long operation: a moving line in a terminal, or else lines after 10, 40, 70 ... seconds.

    Operations may be nested: a terminal shows all of them, other outputs only the one that began last.

    Attributes:
        note: Further text to show, such as a loss.
    """

    def __init__(self, name: str, unit: str = "", total: int | None = None):
        """Initialises the display.

        Args:
            name: Name of the operation.
            unit: Unit of the counter, a plural.
            total: Final value of the counter; None if nothing is counted and only the elapsed time is shown.
        """
        self.name, self.note = name, ""
        self.total, self.done = total, 0
        self._unit = unit
        self._before: int | None = None
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        """Shows the display."""
        _display.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        """Removes the display."""
        _display.remove(self)

    def advance(self, number: int = 1) -> None:
        """Adds to the counter. The first call counts work done earlier, which the estimated time left ignores."""
        self._before = number if self._before is None else self._before
        self.done += number

    def text(self) -> str:
        """Returns the counter, the note and the time left, without the name."""
        parts = [self._counted(), self.note, self._time()]
        return ", ".join(part for part in parts if part)

    def _counted(self) -> str:
        if self.total is None:
            return ""
        if self._unit == "bytes":
            return f"{self.done / 1e6:,.1f} of {self.total / 1e6:,.1f} MB"
        return f"{self.done:,} of {self.total:,} {self._unit}"

    def _time(self) -> str:
        seconds = time.monotonic() - self._start
        if self.total is None:
            return f"{duration(seconds)} so far"
        new = self.done - (self._before or 0)
        left = self.total - self.done
        if left <= 0:
            return "finishing"
        return f"{duration(left * seconds / new)} left" if new else "time left unknown"


def counted(items: Iterable[T], name: str, unit: str, total: int) -> Iterator[T]:
    """Yields the items and shows how many were taken; a negative `total` is unknown, as in tf.data."""
    with Progress(name, unit, total if total >= 0 else None) as progress:
        progress.advance(0)
        for item in items:
            yield item
            progress.advance()


class _Words(bars.ProgressColumn):
    """Column with the current text of a `Progress`."""

    def render(self, task: bars.Task) -> Text:
        return Text(task.fields["of"].text())


class _Display:
    """All progress displays of this process.

    Attributes:
        console: Console that prints above the moving lines; None if there are no such lines.
    """

    def __init__(self) -> None:
        self.console: Console | None = None
        self._rows: list[tuple[Progress, bars.TaskID | None]] = []
        self._bars: bars.Progress | None = None
        self._over = threading.Event()
        self._last_line = ""

    def add(self, new: Progress) -> None:
        if not self._rows:
            self._start()
        row = None
        if self._bars is not None:
            row = self._bars.add_task(printable(new.name), total=new.total, of=new)
        self._rows.append((new, row))
        self._last_line = ""

    def remove(self, ended: Progress) -> None:
        row = next(row for shown, row in self._rows if shown is ended)
        self._rows = [(shown, row) for shown, row in self._rows if shown is not ended]
        if self._bars is not None and row is not None:
            self._bars.remove_task(row)
        if not self._rows:
            self._stop()

    def tell(self) -> None:
        """Prints a line about the operation that began last, once if only its end is outstanding."""
        for shown, _ in self._rows[-1:]:
            line = f"{shown.name}: {shown.text()}"
            if line != self._last_line or shown.total is None or shown.done < shown.total:
                say(line)
            self._last_line = line

    def _start(self) -> None:
        out = console()
        # `isatty` too: FORCE_COLOR makes rich treat a file as a terminal, but a file has no cursor to move.
        if out.is_interactive and out.file.isatty():
            self.console = out
            self._bars = bars.Progress(
                bars.TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
                _Bar(bar_width=20),
                _Words(table_column=Column(no_wrap=True, overflow="ellipsis")),
                console=out,
                transient=True,
            )
            self._bars.start()
        else:
            self._over = threading.Event()
            threading.Thread(target=self._tell_now_and_then, args=(self._over,), daemon=True).start()

    def _stop(self) -> None:
        self._over.set()
        if self._bars is not None:
            self._bars.stop()
        self.console = self._bars = None

    def _tell_now_and_then(self, over: threading.Event) -> None:
        # A thread, so that lines are printed even during a step that takes minutes.
        wait = _SECONDS_BEFORE_FIRST_LINE  # shorter, as several phases of a run take less than the time between lines
        while not over.wait(wait):
            self.tell()
            wait = _SECONDS_BETWEEN_LINES


class _Bar(bars.BarColumn):
    """Column with the current bar of a `Progress`."""

    def render(self, task: bars.Task):
        task.completed = task.fields["of"].done
        return super().render(task)


_display = _Display()

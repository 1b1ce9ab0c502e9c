"""What the command line and the phases print alike."""

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

# Control characters but for the ends of lines and tabs; the marks by which text runs from right to left and hides what
# a name is; halves of characters, which a name that is not UTF-8 is read as and no terminal can be sent.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def console() -> Console:
    """Standard output as it is now: `sys.stdout` may be redirected, and moving lines stay below what is printed."""
    return _display.console if _display.console is not None else Console(highlight=False, soft_wrap=False)


def printable(text: str) -> str:
    r"""A text that a terminal shows and does not obey: `\x1b` is written out."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(value: object) -> str:
    """A value inside of markup: `printable`, and its own brackets are brackets."""
    return escape(printable(str(value)))


def say(line: str) -> None:
    """Prints a text as it is, on one line however narrow the terminal."""
    console().print(printable(line), soft_wrap=True, markup=False)


def columns(rows: Mapping[str, object]) -> Table:
    """Names and values side by side; a value too long for the terminal goes on under itself."""
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        grid.add_row(f"  {shown(name)}", shown(value))
    return grid


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `2 min 20 s`, `1 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """How far something is that takes long: a moving line in a terminal; elsewhere, every 30 seconds, a line.

    One may begin while another goes on: a terminal shows both; elsewhere the line is that of the one that began last.

    Attributes:
        note: What else is to be told of it, such as a loss.
    """

    def __init__(self, name: str, unit: str = "", total: int | None = None):
        """Names what is done.

        Args:
            name: Of what is done.
            unit: What is counted, a plural.
            total: How many there are; None if nothing is counted, and only the time that it has taken is told.
        """
        self.name, self.note = name, ""
        self.total, self.done = total, 0
        self._unit = unit
        self._before: int | None = None
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        """Shows it."""
        _display.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the terminal go on."""
        _display.remove(self)

    def advance(self, number: int = 1) -> None:
        """Counts some more; the first call, what was done before and takes no time."""
        self._before = number if self._before is None else self._before
        self.done += number

    def text(self) -> str:
        """How far it is, what is to be told of it and how long it will take, without its name."""
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
        left = max(self.total - self.done, 0)
        return f"{duration(left * seconds / new)} left" if new or not left else "time left unknown"


def counted(items: Iterable[T], name: str, unit: str, total: int) -> Iterator[T]:
    """Hands items on, and shows how many of them were taken; a `total` below 0, tf.data's for unknown, is unknown."""
    with Progress(name, unit, total if total >= 0 else None) as progress:
        progress.advance(0)
        for item in items:
            yield item
            progress.advance()


class _Words(bars.ProgressColumn):
    """The text of a `Progress`, as it is when it is drawn."""

    def render(self, task: bars.Task) -> Text:
        return Text(task.fields["of"].text())


class _Display:
    """Everything of this process that is in progress.

    Attributes:
        console: What prints above the moving lines, while there are any.
    """

    def __init__(self) -> None:
        self.console: Console | None = None
        self._rows: list[tuple[Progress, bars.TaskID | None]] = []
        self._bars: bars.Progress | None = None
        self._over = threading.Event()

    def add(self, new: Progress) -> None:
        if not self._rows:
            self._start()
        row = None
        if self._bars is not None:
            row = self._bars.add_task(printable(new.name), total=new.total, of=new)
        self._rows.append((new, row))

    def remove(self, ended: Progress) -> None:
        row = next(row for shown, row in self._rows if shown is ended)
        self._rows = [(shown, row) for shown, row in self._rows if shown is not ended]
        if self._bars is not None and row is not None:
            self._bars.remove_task(row)
        if not self._rows:
            self._stop()

    def tell(self) -> None:
        """Prints a line of what began last."""
        for shown, _ in self._rows[-1:]:
            say(f"{shown.name}: {shown.text()}")

    def _start(self) -> None:
        out = console()
        # Neither a terminal that cannot move its cursor nor a file, whatever FORCE_COLOR says.
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
        # A thread, so that a step of minutes is told of too.
        while not over.wait(_SECONDS_BETWEEN_LINES):
            self.tell()


class _Bar(bars.BarColumn):
    """The bar of a `Progress`, as it is when it is drawn."""

    def render(self, task: bars.Task):
        task.completed = task.fields["of"].done
        return super().render(task)


_display = _Display()

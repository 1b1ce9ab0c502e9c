import io

import pytest
from rich.console import Console

from ikelos.pipelines import console
from ikelos.pipelines.console import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that stand still until they are set: `clock[0]`."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_now_and_then(clock, capsys):
    with Progress("preparing train", "bytes", 4000) as progress:
        progress.advance(0)
        for second in range(100):
            clock[0] = 100.0 + second
            progress.advance(10)
    assert capsys.readouterr().out.splitlines() == [
        "preparing train: 8% of 4,000 bytes, 357 s left",
        "preparing train: 15% of 4,000 bytes, 333 s left",
        "preparing train: 23% of 4,000 bytes, 306 s left",
    ]


def test_what_was_done_before_tells_nothing_of_the_time_left(clock, capsys):
    with Progress("preparing train", "bytes", 4000) as progress:
        progress.advance(3000)
        clock[0] += 40
        progress.advance(100)
        clock[0] += 40
        progress.advance(100)
    assert capsys.readouterr().out.splitlines() == [
        "preparing train: 78% of 4,000 bytes, 360 s left",
        "preparing train: 80% of 4,000 bytes, 320 s left",
    ]


def test_without_any_progress_the_time_left_is_unknown(clock, capsys):
    with Progress("preparing train", "bytes", 4000) as progress:
        progress.advance(2000)
        clock[0] += 40
        progress.advance(0)
    assert capsys.readouterr().out == "preparing train: 50% of 4,000 bytes, time left unknown\n"


def test_what_is_over_soon_is_not_told(clock, capsys):
    with Progress("preparing train", "examples", 2) as progress:
        progress.advance(2)
    assert capsys.readouterr().out == ""


def test_more_than_there_should_be_is_all_of_it(clock, capsys):
    for total in (0, 5):
        with Progress("preparing train", "bytes", total) as progress:
            progress.advance(0)
            clock[0] += 31
            progress.advance(7)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"preparing train: 100% of {total} bytes, 0 s left" for total in (0, 5)]


def test_a_terminal_shows_a_bar_and_is_left_clean(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(console, "console", lambda: Console(file=shown, force_terminal=True, width=100))
    with Progress("preparing train", "examples", 50) as progress:
        progress.advance(20)
    assert "preparing train" in shown.getvalue()
    assert "20/50" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[2K")

import io
import threading

import pytest
from rich.console import Console
from tests.serving.waiting import until

from ikelos.pipelines import console
from ikelos.pipelines.console import Progress, counted


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Stops the clock and returns a list whose only item is its time in seconds."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch):
    """Returns a file that receives the output to a terminal of 100 columns."""
    shown = Terminal()
    monkeypatch.setattr(console, "Console", lambda **options: Console(file=shown, force_terminal=True, width=100))
    return shown


def test_what_is_counted_has_a_time_left(clock):
    progress = Progress("preparing train", "examples", 4000)
    assert progress.text() == "0 of 4,000 examples, time left unknown"
    progress.advance(0)
    for second, line in [
        (30, "300 of 4,000 examples, 6 min 10 s left"),
        (60, "600 of 4,000 examples, 5 min 40 s left"),
        (360, "3,600 of 4,000 examples, 40 s left"),
    ]:
        clock[0] = 100.0 + second
        progress.advance(10 * second - progress.done)
        assert progress.text() == line


def test_bytes_are_megabytes(clock):
    progress = Progress("preparing train", "bytes", 4_200_000_000)
    progress.advance(0)
    clock[0] += 10
    progress.advance(1_050_000_000)
    assert progress.text() == "1,050.0 of 4,200.0 MB, 30 s left"


def test_what_was_done_before_tells_nothing_of_the_time_left(clock):
    progress = Progress("training", "steps", 4000)
    progress.advance(3000)
    assert progress.text() == "3,000 of 4,000 steps, time left unknown"
    clock[0] += 40
    progress.advance(100)
    assert progress.text() == "3,100 of 4,000 steps, 6 min 0 s left"


@pytest.mark.parametrize("total", [0, 5])
def test_more_than_there_should_be_leaves_no_time(clock, total):
    progress = Progress("preparing train", "examples", total)
    progress.advance(0)
    clock[0] += 31
    progress.advance(7)
    assert progress.text() == f"7 of {total} examples, finishing"


def test_what_is_not_counted_has_a_time_so_far_and_a_note(clock):
    progress = Progress("report")
    clock[0] += 90
    assert progress.text() == "1 min 30 s so far"
    progress.note = "pictures"
    assert progress.text() == "pictures, 1 min 30 s so far"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_durations_in_words(seconds, words):
    assert console.duration(seconds) == words


def test_items_are_handed_on_and_counted(clock, capsys):
    told = []
    for item in counted("abc", "spelling", "letters", 3):
        clock[0] += 10
        console._display.tell()
        told.append(item)
    assert told == ["a", "b", "c"]
    assert capsys.readouterr().out.splitlines() == [
        "spelling: 0 of 3 letters, time left unknown",
        "spelling: 1 of 3 letters, 40 s left",
        "spelling: 2 of 3 letters, 15 s left",
    ]
    console._display.tell()
    assert capsys.readouterr().out == ""


def test_an_operation_of_which_only_the_end_is_missing_is_told_once(clock, capsys):
    with Progress("training", "steps", 2) as progress:
        progress.advance(0)
        for _ in range(3):
            clock[0] += 30
            progress.advance(min(1, 2 - progress.done))
            console._display.tell()
    assert capsys.readouterr().out.splitlines() == [
        "training: 1 of 2 steps, 30 s left",
        "training: 2 of 2 steps, finishing",
    ]


def test_a_number_that_nobody_knows_is_not_told(capsys):
    for _ in counted("a", "spelling", "letters", -2):
        console._display.tell()
    assert capsys.readouterr().out == "spelling: 0 s so far\n"


def test_without_a_terminal_a_line_comes_now_and_then_even_if_nothing_advances(monkeypatch, capsys):
    monkeypatch.setattr(console, "_SECONDS_BEFORE_FIRST_LINE", 0.01)
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_LINES", 0.01)
    # The first line waits until both have begun, for which a busy machine may need more than 0.01 s.
    tell, begun, out = console._display.tell, threading.Event(), []
    monkeypatch.setattr(console._display, "tell", lambda: begun.wait() and tell())
    with Progress("[red] evaluation"), Progress("n\x1bgrams", "orders", 8):
        begun.set()
        until(lambda: out.append(capsys.readouterr().out) or "".join(out).count("\n") >= 2)
    assert set("".join(out).splitlines()[:2]) == {r"n\x1bgrams: 0 of 8 orders, time left unknown"}


def test_without_a_terminal_the_first_line_comes_early(monkeypatch):
    waits, told = [], []

    class Over:
        def wait(self, seconds):
            waits.append(seconds)
            return len(waits) == 4

    monkeypatch.setattr(console._display, "tell", lambda: told.append(1))
    console._display._tell_now_and_then(Over())
    assert waits == [10.0, 30.0, 30.0, 30.0]
    assert len(told) == 3


def test_what_began_last_is_told_and_then_what_is_around_it(clock, capsys):
    with Progress("evaluation"):
        with Progress("n-grams", "orders", 8):
            console._display.tell()
        console._display.tell()
    assert capsys.readouterr().out.splitlines() == [
        "n-grams: 0 of 8 orders, time left unknown",
        "evaluation: 0 s so far",
    ]


def test_what_is_over_soon_is_not_told(capsys):
    with Progress("preparing train", "examples", 2) as progress:
        progress.advance(2)
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_bars_below_what_is_printed_and_is_left_clean(terminal):
    with Progress("evaluation [red]"), Progress("counting", "orders", 50) as progress:
        progress.advance(20)
        progress.note = "of the n-gram model"
        console.say("a line")
        console._display._bars.refresh()
    shown = terminal.getvalue()
    assert "evaluation [red]" in shown
    assert "20 of 50 orders, of the n-gram model, " in shown
    assert "a line\n" in shown
    assert "\x1b[2K" in shown[shown.rindex("left unknown") :]
    assert "\x1b[?25l" in shown  # hides the cursor
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert console.console() is not console.console()


def test_a_file_is_no_terminal_whatever_the_environment_says(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress("preparing train", "examples", 50):
        console._display.tell()
    assert capsys.readouterr().out == "preparing train: 0 of 50 examples, time left unknown\n"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain é 漢 🙂", "plain é 漢 🙂"),
        ("\x1b[31mred\x07\x9b0m\r\x7f", r"\x1b[31mred\x07\x9b0m\r\x7f"),
        ("exe\u202egpj", r"exe\u202egpj"),
        ("a\udcffb", r"a\udcffb"),
    ],
)
def test_a_terminal_is_sent_nothing_that_it_would_obey(text, safe, capsys):
    assert console.printable(text) == safe
    console.console().print(console.columns({text: text}), console.shown(f"[red]{text}"), soft_wrap=True)
    out = capsys.readouterr().out
    assert not console._UNPRINTABLE.search(out)
    assert out.splitlines()[-1] == f"[red]{safe}"


def test_lines_and_tabs_stay():
    assert console.printable("a\tb\nc") == "a\tb\nc"

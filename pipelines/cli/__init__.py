"""The command line `ikelos`.

This module imports the standard library alone: after a bare `pip install .` the packages of the command line are
missing, and the user gets one readable line that says so.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence

INTERRUPTED = "Interrupted; run the same command again to go on."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Arguments after the program's name. None takes the arguments of the process, and filters its standard
            error.

    Returns:
        The exit status: 0 success, 1 failure, 2 bad input, 130 interrupted, 143 ended by SIGTERM.
    """
    if not _streams_are_open():
        print("Error: standard output must be open; it may be /dev/null. Received: it is closed", file=sys.stderr)
        return 1
    missing = [name for name in ("typer", "rich", "pydantic", "yaml") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"Error: the command line needs {', '.join(missing)}: install Ikelos with the extra `pipelines`, "
            "in a clone by: pip install '.[pipelines]'",
            file=sys.stderr,
        )
        return 2
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" not in given:
        # TensorFlow's C++ code reads the variable when it is loaded; with 2 it logs only errors.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return _execute(given, filtering=arguments is None)
    except KeyboardInterrupt:  # during the imports, before `execute` handles it
        print(f"Error: {INTERRUPTED}", file=sys.stderr)
        return 130


def _execute(given: list[str], filtering: bool) -> int:
    from ikelos.pipelines.cli import app, quiet

    # A user who sets the variable to 0 or 1 wants the whole log. With --debug, `main` leaves it unset, which means 0.
    if not filtering or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") in ("0", "1"):
        return app.execute(given)
    with quiet.filtered():
        return app.execute(given)


def _streams_are_open() -> bool:
    """Returns whether standard output is open. Opens standard input and error if they are closed.

    Otherwise a file of the run would get their number, and with it everything that is written to standard error.
    """
    opened = True
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = opened and name != "stdout"
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
    return opened

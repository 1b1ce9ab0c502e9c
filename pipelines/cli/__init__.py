"""The command line `ikelos`.

Nothing is imported here but the standard library, so that a bare `pip install ikelos`, which lacks the packages of the
command line, gets one readable line.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence

INTERRUPTED = "Interrupted; run the same command again to go on."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Those after the program's name. None takes the process's own, and filters its standard error.

    Returns:
        The exit status: 0 done, 1 the run failed, 2 bad input, 130 interrupted, 143 ended by SIGTERM.
    """
    if not _streams_are_open():
        print("Error: standard output must be open; it may be /dev/null. Received: a closed one", file=sys.stderr)
        return 1
    missing = [name for name in ("typer", "rich", "pydantic", "yaml") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"Error: the command line needs {', '.join(missing)}: pip install 'ikelos[pipelines]'",
            file=sys.stderr,
        )
        return 2
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" not in given:
        # Read by TensorFlow's C++ when it is loaded: errors only.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return _execute(given, filtering=arguments is None)
    except KeyboardInterrupt:  # before `execute` takes care of it: imports take their time
        print(f"Error: {INTERRUPTED}", file=sys.stderr)
        return 130


def _execute(given: list[str], filtering: bool) -> int:
    from ikelos.pipelines.cli import app, quiet

    # Whoever asked for the log gets all of it.
    if not filtering or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") in ("0", "1"):
        return app.execute(given)
    with quiet.filtered():
        return app.execute(given)


def _streams_are_open() -> bool:
    """Opens standard input and error if they are closed, or a file of the run would get their place and their bytes."""
    opened = True
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = opened and name != "stdout"
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
    return opened

"""The command line `ikelos`.

Nothing is imported here but the standard library, so that a bare `pip install ikelos`, which lacks the
packages of the command line, gets one readable line.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Those after the program's name; the process's own by default.

    Returns:
        The exit status: 0 done, 1 the run failed, 2 bad input, 130 interrupted, 143 ended by SIGTERM.
    """
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
    from ikelos.pipelines.cli.app import execute

    return execute(given)

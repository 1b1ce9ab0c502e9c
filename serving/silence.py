"""Suppresses standard error, also that of C++ code, which writes to the file descriptor and not to `sys.stderr`."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def silenced(passes: Callable[[bytes], bool] | None = None) -> Iterator[None]:
    """Context manager that holds back what the process writes to standard error, and at the end writes selected lines.

    Args:
        passes: Whether a line, including its end, is written after all; None for none.
    """
    sys.stderr.flush()
    # Without `passes` nothing needs to be kept, so this also works without a temporary folder.
    with open(os.devnull, "r+b") if passes is None else tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            if passes is not None:
                held.seek(0)
                for line in filter(passes, held):
                    os.write(2, line)

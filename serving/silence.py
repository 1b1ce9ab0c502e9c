"""Standard error held back, also from C++ code, which writes to the file descriptor and not to `sys.stderr`."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def silenced(passes: Callable[[bytes], bool] | None = None) -> Iterator[None]:
    """Holds back what the process writes to standard error, and at the end writes the lines that may pass.

    Args:
        passes: whether a line, with its end, is written after all; without it, none is.
    """
    sys.stderr.flush()
    # Where no line passes, none need be kept, and no temporary folder need be there.
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

"""Removes from standard error the messages that TensorFlow and its libraries print at every start."""

import contextlib
import importlib
import logging
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from types import ModuleType

from ikelos.pipelines.console import Progress, printable
from ikelos.pipelines.errors import UserError

# Messages that no environment variable silences, because C++ writes them before its log is set up: information and
# warnings, and five kinds of errors: there is no GPU (303), a library of CUDA is registered twice, oneDNN leaves an op
# to Eigen, tf.data leaves an attribute behind when it rewrites an op, and a JPEG file is cut off, which our own error
# says with the file's name.
_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:"
    rb"|E\d{4} .*(cuInit.*\(303\)|Unable to register cu\w+ (factory|plugin)|oneDNN supports DT_)"
    rb"|E\d{4} .*NodeDef mentions attribute use_unbounded_threadpool "
    rb"|E\d{4} .*jpeg_mem\.cc:\d+\] Premature end of JPEG data"
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "
    rb"|To enable the following instructions: "
    rb"|\w+\.cc\(\d+\) LOG\(INFO\)"  # SentencePiece
)
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that do not end the filter: it ends when all processes that write to it have ended."""
_LONGEST_WAIT = 2.0
"""Seconds; a child process that outlives the command may hold standard error open."""


@contextlib.contextmanager
def filtered() -> Iterator[None]:
    """Context manager that removes `_NOISE` from the standard error of this process and its children.

    Another process filters the lines, so that the last ones before a crash pass too. Enter it before there are threads.
    """
    sys.stderr.flush()
    sys.stdout.flush()
    read, write = os.pipe()
    # Blocked until the child ignores them: a Ctrl-C at its very start would print the child's traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    child = os.fork()
    if not child:
        os.close(write)
        _pass_on(read)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(read)
    kept = os.dup(2)
    os.dup2(write, 2)
    os.close(write)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        end = time.monotonic() + _LONGEST_WAIT
        while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < end:
            time.sleep(0.001)


def _pass_on(read: int) -> None:
    """Passes on the lines until the pipe is closed, then ends this process, which must not run the command too."""
    try:
        # The filter must not end before the processes that write to it.
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):  # a reader of standard output waits until every process has closed it
            os.dup2(nowhere, descriptor)
        with open(read, "rb") as lines:
            for line in lines:
                if not _NOISE.match(line):
                    os.write(2, line)
    finally:
        os._exit(0)


def load_comparison() -> ModuleType:
    """Imports the module that compares runs, and with it TensorFlow, as `load_runner` does.

    Raises:
        UserError: If `IKELOS_KERNELS` has a wrong value.
    """
    load_runner()
    from ikelos.pipelines import comparison

    return comparison


def load_runner() -> ModuleType:
    """Imports the runner, and with it TensorFlow, and silences the log of TensorFlow's Python up to warnings.

    Raises:
        UserError: If `IKELOS_KERNELS` has a wrong value.
    """
    with Progress("loading TensorFlow"):
        # Imported first: if the backend of Keras is not TensorFlow, the error of this import says so.
        import ikelos.layers  # noqa: F401
        from ikelos.kernels import dispatch
        from ikelos.pipelines import runner

    try:
        dispatch.environment_setting()
    except ValueError as error:
        # The first op would raise the same error, minutes later and wrapped in one of Keras.
        raise UserError(str(error)) from None
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") not in ("0", "1"):
        for name in ("absl", "tensorflow"):
            logging.getLogger(name).setLevel(logging.ERROR)
    return runner


def load_pipelines(*names: str) -> list[ModuleType]:
    """Imports modules of `ikelos.pipelines.tfx`, and with them TFX, in silence.

    Raises:
        UserError: TFX is not installed, or the system cannot load it.
    """
    from ikelos.pipelines.tfx import needs

    needs.check()
    load_runner()
    with Progress("loading TFX"), warnings.catch_warnings(action="ignore"):
        return [importlib.import_module(f"ikelos.pipelines.tfx.{name}") for name in names]


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Prints a warning of Python as one line, without the line of code that it comes from."""
    print(f"Warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)

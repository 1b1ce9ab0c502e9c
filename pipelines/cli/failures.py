"""Error messages and exit statuses for exceptions."""

import errno
import os
import re
import signal
from typing import Any

from ikelos.pipelines.cli import INTERRUPTED
from ikelos.pipelines.cli.exported import complaint
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training.errors import NotFinite, Terminated

FAILED, BAD_INPUT = 1, 2

_OS_ERRORS = {
    errno.ENOENT: "no such file or folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "the operation is not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than allowed",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.EEXIST: "it exists already",
    errno.ENAMETOOLONG: "the name is too long",
}


def reason(error: OSError) -> str:
    """Returns the reason of an error of the operating system in words, without the path."""
    text = str(error)
    # numpy and h5py report a failed write without an error number.
    if "No space left" in text or re.search(r"requested and \d+ written", text):
        return _OS_ERRORS[errno.ENOSPC]
    return _OS_ERRORS.get(error.errno or 0) or error.strerror or _first_line(text)


def explain(error: BaseException) -> tuple[str, int]:
    """Returns one readable line for an exception (one per mistake for a `UserError`), and the exit status.

    If an exception names no path, its notes (`add_note`) say what was being done.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, 128 + signal.SIGINT
    if isinstance(error, Terminated):
        return str(error), 128 + error.signal
    if isinstance(error, NotFinite):
        return str(error), FAILED
    if isinstance(error, UserError):
        return str(error), BAD_INPUT
    # By the name of its module, because importing it takes a while.
    if type(error).__module__ == "ikelos.serving.client.errors":
        return _explain_server(error)
    if isinstance(error, OSError):
        return _with_place(reason(error), error.filename, error), FAILED
    if isinstance(error, MemoryError):
        return _with_place("the memory is used up", None, error), FAILED
    # By the name of its module, because importing TensorFlow takes seconds.
    if type(error).__module__.startswith("tensorflow.python.framework.errors"):
        return _explain_tensorflow(error), FAILED
    return (
        f"{type(error).__name__}: {_first_line(str(error))}; run again with --debug for the traceback",
        FAILED,
    )


def _explain_server(error: Any) -> tuple[str, int]:
    message = complaint(str(error))
    return f"{message} ({error.code})", BAD_INPUT if error.code in ("INVALID_ARGUMENT", "NOT_FOUND") else FAILED


def _explain_tensorflow(error: BaseException) -> str:
    # `{{function_node ...}} /the/path; No space left on device [Op:WriteFile]`
    text = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*?\]", "", str(error))
    for number, words in _OS_ERRORS.items():
        if found := re.search(rf"(?:([^\s;]+); )?{re.escape(os.strerror(number))}", text):
            return _with_place(words, found[1], error)
    if "OOM when allocating" in text:
        return _with_place("the memory is used up", None, error)
    return f"{type(error).__name__}: {_first_line(text)}; run again with --debug for the traceback"


def _with_place(what: str, path: object, error: BaseException) -> str:
    if path is not None:
        return f"{what}: {path}"
    return f"{what} ({', '.join(notes)})" if (notes := getattr(error, "__notes__", [])) else what


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return line if len(line) <= 300 else line[:297] + "..."

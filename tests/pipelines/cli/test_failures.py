import errno
import os
import signal

import numpy as np
import pytest

from ikelos.pipelines.cli import failures
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training.errors import NotFinite, Terminated


def os_error(number, *path):
    return OSError(number, os.strerror(number), *path)


def noted(error, note):
    error.add_note(note)
    return error


def tensorflow_error(name, message):
    return type(name, (Exception,), {"__module__": "tensorflow.python.framework.errors_impl"})(message)


AGAIN = "; run again with --debug for the traceback"
CASES = [
    (UserError("unknown key"), "unknown key", 2),
    (NotFinite("the loss is NaN at step 3"), "the loss is NaN at step 3", 1),
    (KeyboardInterrupt(), "Interrupted; run the same command again to go on.", 130),
    (
        Terminated(signal.SIGTERM, 3, 9),
        "Stopped by SIGTERM at step 3 of 9; the same command continues from there.",
        143,
    ),
    (os_error(errno.ENOENT, "a/b"), "no such file or folder: a/b", 1),
    (os_error(errno.EACCES, "a/b"), "permission denied: a/b", 1),
    (os_error(errno.EROFS, "a/b"), "the file system is read-only: a/b", 1),
    (os_error(errno.ENOSPC, "a/b"), "the disk is full: a/b", 1),
    (noted(os_error(errno.ENOSPC), "in runs/x"), "the disk is full (in runs/x)", 1),
    (os_error(errno.EDQUOT, "a/b"), "the disk quota is used up: a/b", 1),
    (os_error(errno.ETIMEDOUT), os.strerror(errno.ETIMEDOUT), 1),
    (noted(MemoryError(), "in runs/x"), "the memory is used up (in runs/x)", 1),
    (
        tensorflow_error("ResourceExhaustedError", "/runs/x/events.0; No space left on device [Op:WriteFile]"),
        "the disk is full: /runs/x/events.0",
        1,
    ),
    (
        tensorflow_error("ResourceExhaustedError", "Graph execution error:\nOOM when allocating tensor"),
        "the memory is used up",
        1,
    ),
    (
        tensorflow_error("PermissionDeniedError", "/runs/x; Permission denied"),
        "permission denied: /runs/x",
        1,
    ),
    (
        tensorflow_error("InvalidArgumentError", "\nshapes differ\nmore\n"),
        "InvalidArgumentError: shapes differ" + AGAIN,
        1,
    ),
    (ValueError("bad\nthings"), "ValueError: bad" + AGAIN, 1),
    (ValueError(), "ValueError: no message" + AGAIN, 1),
]


@pytest.mark.parametrize(("error", "message", "status"), CASES, ids=lambda case: type(case).__name__)
def test_every_failure_is_one_line_and_a_status(error, message, status):
    assert failures.explain(error) == (message, status)


def test_a_failed_write_of_numpy_is_a_full_disk():
    with open("/dev/full", "wb") as full, pytest.raises(OSError, match="requested") as caught:
        np.zeros(10_000).tofile(full)
    assert failures.explain(caught.value) == ("the disk is full", 1)


def test_a_real_failure_of_tensorflow_is_recognised(tmp_path):
    import tensorflow as tf

    with pytest.raises(tf.errors.NotFoundError) as caught:
        tf.io.read_file(str(tmp_path / "missing"))
    message, status = failures.explain(caught.value)
    assert message == f"no such file or folder: {tmp_path}/missing"
    assert status == 1

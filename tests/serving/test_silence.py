import contextlib
import os
import sys

import pytest

from ikelos.serving.silence import silenced


@contextlib.contextmanager
def buffered_stderr(monkeypatch):
    """Context manager with a buffered `sys.stderr` that writes to the file descriptor, as outside of pytest."""
    with open(2, "w", closefd=False) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        yield


def test_nothing_passes(capfd, monkeypatch):
    with buffered_stderr(monkeypatch):
        print("before", file=sys.stderr)
        with silenced():
            os.write(2, b"lost\n")
            print("lost", file=sys.stderr)
        assert capfd.readouterr().err == "before\n"
        os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_one_inside_the_other(capfd):
    with silenced():
        with silenced():
            os.write(2, b"lost\n")
        os.write(2, b"lost too\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_an_exception_passes_and_leaves_no_descriptor_open(capfd):
    def fail():
        with silenced():
            os.write(2, b"said\n")
            raise ValueError("odd")

    before = os.listdir("/proc/self/fd")
    with pytest.raises(ValueError, match="odd"):
        fail()
    assert os.listdir("/proc/self/fd") == before
    assert capfd.readouterr().err == ""

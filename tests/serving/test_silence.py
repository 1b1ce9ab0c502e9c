import contextlib
import os
import sys
import tempfile

import pytest

from ikelos.serving.silence import silenced


@contextlib.contextmanager
def buffered_stderr(monkeypatch):
    """A `sys.stderr` that writes to the file descriptor, as outside of pytest, and only when it must."""
    with open(2, "w", closefd=False) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        yield


def test_nothing_passes(capfd, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", None)  # a model can be loaded where nothing can be written
    with buffered_stderr(monkeypatch):
        print("before", file=sys.stderr)
        with silenced():
            os.write(2, b"lost\n")
            print("lost", file=sys.stderr)
        assert capfd.readouterr().err == "before\n"
        os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_the_lines_that_may_pass_come_at_the_end(capfdbinary, monkeypatch):
    with buffered_stderr(monkeypatch):
        print("before", file=sys.stderr)
        with silenced(lambda line: line.startswith(b"good")):
            assert capfdbinary.readouterr().err == b"before\n"
            os.write(2, b"good 1\nbad\n")
            print("good 2", file=sys.stderr, flush=True)
            os.write(2, b"bad\ngood 3 \xff\n")
            print("good 4", file=sys.stderr)
            assert capfdbinary.readouterr().err == b""
        assert capfdbinary.readouterr().err == b"good 1\ngood 2\ngood 3 \xff\ngood 4\n"


def test_one_inside_the_other(capfd):
    with silenced(lambda line: True):
        os.write(2, b"before\n")
        with silenced():
            os.write(2, b"lost\n")
        os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


@pytest.mark.parametrize(("passes", "shown"), [(None, ""), (lambda line: True, "said\n")])
def test_an_exception_passes_and_leaves_no_descriptor_open(capfd, passes, shown):
    def fail():
        with silenced(passes):
            os.write(2, b"said\n")
            raise ValueError("odd")

    before = os.listdir("/proc/self/fd")
    with pytest.raises(ValueError, match="odd"):
        fail()
    assert os.listdir("/proc/self/fd") == before
    assert capfd.readouterr().err == shown

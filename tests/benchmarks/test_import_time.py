import re
import shlex
import sys

import pytest


@pytest.fixture
def python(tmp_path):
    """Writes a stand-in for an interpreter, whose imports take hundredths of a second instead of seconds."""

    def write(*lines):
        path = tmp_path / "python"
        path.write_text("\n".join(["#!/bin/sh", *lines]))
        path.chmod(0o755)
        return path

    return write


def test_a_line_with_both(run, python, tmp_path):
    work = shlex.join([sys.executable, "-I", "-S", "-c", "sum(range(10**6))"])
    stand_in = python(f'echo "$2" >> {tmp_path}/imports', work)
    line = run("import_time.py", "--rounds", "2", "--python", stand_in).stdout
    keras, ours, ratio = map(float, re.findall(r"(\d+\.\d+)", line))
    assert keras > 0
    assert ours > 0
    assert 0 < ratio < 100
    # In turns, the first of them untimed.
    assert (tmp_path / "imports").read_text().splitlines() == ["import keras", "import ikelos.layers"] * 3


def test_says_why_an_import_fails(run, python):
    stand_in = python("echo 'no module named keras' >&2", "exit 1")
    done = run("import_time.py", "--python", stand_in, check=False)
    assert done.returncode == 1
    assert done.stderr == f"`import keras` failed in {stand_in}:\nno module named keras\n\n"

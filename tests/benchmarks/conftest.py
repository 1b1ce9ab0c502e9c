import importlib
import os
import pathlib
import subprocess
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def run():
    """Runs a script of `benchmarks/`, or another one that imports from there, and returns the finished process."""

    def runner(script, *options, check=True):
        finished = subprocess.run(
            [sys.executable, BENCHMARKS / script, *map(str, options)],
            env={**os.environ, "PYTHONPATH": str(BENCHMARKS)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert not check or finished.returncode == 0, finished.stdout + finished.stderr
        return finished

    return runner


@pytest.fixture
def load(monkeypatch):
    """Imports a module of `benchmarks/` by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module

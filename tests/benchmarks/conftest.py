import contextlib
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


@pytest.fixture
def run_here(load, monkeypatch, capsys):
    """Runs a script of `benchmarks/` in this process, its contenders too, and returns what it prints.

    That spares a start of TensorFlow for each of them; that they run in processes of their own, the other tests show.
    """

    def runner(name, *options):
        module, workers = load(name), load("workers")

        def started(names, commands, threads, isa):
            return contextlib.nullcontext({name: workers._Server(module.CONTENDERS[name]) for name in names})

        monkeypatch.setattr(workers, "started", started)
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, options)])
        if hasattr(module, "main"):
            module.main()
        else:
            load("compare").main(module.__doc__, module.CONTENDERS, module.cases, module.__file__)
        return capsys.readouterr().out

    return runner

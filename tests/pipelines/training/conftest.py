"""Fixtures: the tiny stage, and a process that trains it and may be killed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("child.py")
FORKS = Path(__file__).parents[1] / "forks.py"


@pytest.fixture(scope="session")
def tiny():
    """Returns the module `child.py`, which defines the tiny stage."""
    specification = importlib.util.spec_from_file_location("ikelos_tests_training_child", CHILD)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Trainer:
    """Trainer of the tiny stage, with op determinism, in processes that may be killed."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-P", FORKS, CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def run(self, folder, **job) -> int:
        """Runs a job and returns its exit code, -9 if it was killed."""
        self._process.stdin.write(json.dumps({"folder": str(folder), **job}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="session")
def trainer():
    trainer = Trainer()
    yield trainer
    trainer.close()

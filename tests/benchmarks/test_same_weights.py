import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "same_weights.py"


@pytest.fixture
def runs(tmp_path):
    """Two runs of one stage, whose newest checkpoints are given."""

    def make(before, after):
        for name, arrays in (("before", before), ("after", after)):
            folder = tmp_path / name / "stages" / "model" / "checkpoints"
            folder.mkdir(parents=True)
            np.savez(folder / "step-00000001.npz", kernel=np.zeros(3))
            np.savez(folder / "step-00000002.npz", about=np.frombuffer(name.encode(), np.uint8), **arrays)
        done = subprocess.run(
            [sys.executable, SCRIPT, tmp_path / "before", tmp_path / "after"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return make


def test_the_newest_checkpoints_are_compared_bit_by_bit(runs):
    one = {"kernel": np.array([1.0, np.nan], np.float32), "step": np.int64(2)}
    assert runs(one, one) == (0, "2 of 2 variables are the same, bit by bit\n")


def test_what_differs_is_named(runs):
    status, output = runs(
        {"kernel": np.array([0.0]), "bias": np.ones(1)}, {"kernel": np.array([-0.0]), "bias": np.ones(1)}
    )
    assert status == 1
    assert output == "differs: model/kernel\n1 of 2 variables are the same, bit by bit\n"

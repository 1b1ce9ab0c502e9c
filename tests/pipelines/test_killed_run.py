import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.training import checkpoint

KILLS = 20


class Process:
    """`ikelos run` in a separate process, from the moment at which its imports are done."""

    def __init__(self, recipe, workdir):
        command = [sys.executable, "-c", "import sys; from ikelos.pipelines.cli import main; sys.exit(main())"]
        self._process = subprocess.Popen(
            [*command, "run", recipe, "--workdir", workdir], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._lines = []
        for line in self._process.stdout:
            self._lines.append(line)
            if line.startswith("data:"):
                break

    def end(self, after=None):
        """Waits for the end of the process, or kills it after some seconds; returns whether it was killed."""
        try:
            self._process.wait(after)
        except subprocess.TimeoutExpired:
            self._process.kill()
        output = "".join([*self._lines, self._process.communicate()[0]])
        assert self._process.returncode in (0, -signal.SIGKILL), output
        return self._process.returncode != 0


def arrays(workdir):
    """Returns every variable of the last checkpoint, without the entry that holds times."""
    (stage,) = (workdir / "stages").iterdir()
    with np.load(checkpoint.newest(stage / "checkpoints")) as file:
        return {name: file[name] for name in file.files if name != "about"}


def versions(workdir):
    """Returns the names of the files of each version, and the values of its variables.

    The bytes of the files are not compared, because the names of variables in them differ from run to run.
    """
    found = {}
    for version in (workdir / "export").glob("[0-9]*"):
        paths = sorted(path for path in version.rglob("*") if path.is_file())
        assert all(path.stat().st_size for path in paths)
        reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
        names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_")]
        values = sorted(reader.get_tensor(name).tobytes() for name in names)
        found[version.name] = [os.path.relpath(path, version) for path in paths], values
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["language_modeling", "image_generation_gan"])
def test_twenty_kills_from_start_to_end_change_nothing(shrunk, tmp_path, name):
    recipe = shrunk(name).source
    unbroken = tmp_path / "unbroken"
    process = Process(recipe, unbroken)
    start = time.monotonic()
    assert not process.end()
    length = time.monotonic() - start
    weights, exported = arrays(unbroken), versions(unbroken)
    assert exported.keys() == {"1"}

    generator = random.Random(0)
    for number in range(KILLS):
        workdir = tmp_path / f"killed-{number}"
        moment = (number + generator.random()) / KILLS * length
        attempt = 0
        # A run that is faster than the uninterrupted one ends before it is killed. So one more is killed earlier.
        while not Process(recipe, workdir / str(attempt)).end(moment):
            attempt, moment = attempt + 1, 0.9 * moment
        workdir /= str(attempt)
        assert versions(workdir) in ({}, exported)
        assert not Process(recipe, workdir).end()
        ended = arrays(workdir)
        assert ended.keys() == weights.keys()
        for name, value in weights.items():
            np.testing.assert_array_equal(ended[name], value, err_msg=f"kill {number}: {name}", strict=True)
        assert versions(workdir) == exported
        assert (workdir / "report" / "report.html").stat().st_size

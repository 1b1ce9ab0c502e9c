"""An export that is killed, or that can't write, leaves whole versions only."""

import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest

from ikelos import serving
from ikelos.serving import StockModel


class BasePath:
    """A base path and the process of exporter.py that writes into it."""

    def __init__(self, path, process):
        self.path, self.process = path, process
        self.values = []  # the numbers that the versions 1, 2, ... add
        self.orders = 0

    def order(self, **order):
        """Exports a model that adds a new value, and asserts that there are only whole versions."""
        self.orders += 1
        order |= {"base_path": str(self.path), "value": self.orders}
        print(json.dumps(order), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        if len(self.values) + 1 in self.versions():
            self.values.append(self.orders)
        assert self.versions() == set(range(1, len(self.values) + 1))
        for number, value in enumerate(self.values, 1):
            with StockModel(self.path / str(number)) as model:
                assert model.run("serving_default", {"x": [1.0]})["y"] == [1 + value]
        return answer

    def versions(self):
        return {int(path.name) for path in self.path.glob("[0-9]*")}

    def leftovers(self):
        return len(list(self.path.glob(".*")))


@pytest.fixture(scope="module")
def process():
    # OpenBLAS would start a thread at import, and a process with threads can't be forked safely.
    process = subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__).with_name("exporter.py"))],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.stdin.close()
    process.wait()


@pytest.fixture
def base(tmp_path, process):
    return BasePath(tmp_path / "models", process)


def test_killed_around_the_moment_a_version_appears(base):
    first = base.order()
    assert first["version"] == "1"
    syncs = first["steps"].count("fsync")
    assert syncs > 8  # the files, the folders, the base path and its parent
    # The parent of the base path was only brought to disk when the base path was made.
    moments = {("fsync", 0): 0, ("os.rename", 0): 0, ("fsync", syncs - 1): 1}
    for (name, count), appeared in moments.items():
        before = len(base.values)
        answer = base.order(nth=[name, count])
        assert answer["killed"]
        assert len(base.values) - before == appeared == answer["steps"].count("os.rename")
        assert base.leftovers() == 1
    assert base.order()["version"] == "3"
    assert base.leftovers() == 0


@pytest.mark.slow
def test_killed_at_every_step(base):
    base.order()
    killed = True
    for step in range(1000):
        killed = base.order(step=step).get("killed", False)
        if not killed:
            break
    assert not killed
    assert step > 30
    # Killed between its rename and its end, an export has published all the same.
    assert len(base.values) > 3
    assert base.leftovers() == 0


@pytest.mark.slow
def test_killed_while_tensorflow_writes(base):
    base.order()
    killed = [base.order(moment=0.02 * count).get("killed", False) for count in range(1, 21)]
    assert any(killed)
    assert "version" in base.order()
    assert base.leftovers() == 0


@pytest.mark.parametrize("file_bytes", [100, 5000])
def test_full_disk(base, file_bytes):
    answer = base.order(file_bytes=file_bytes)
    assert "File too large" in answer["error"]
    assert str(base.path) in answer["error"]
    assert base.versions() == set()
    assert base.leftovers() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(
    not all(folder.stat().st_mode & stat.S_IXOTH for folder in pathlib.Path(serving.__file__).resolve().parents),
    reason="the code lies where the other user cannot read it",
)
def test_unwritable_folder(base):
    base.path.mkdir(mode=0o755)
    base.path.parent.chmod(0o755)
    answer = base.order(user=65534)
    assert "Permission denied" in answer["error"]
    assert str(base.path) in answer["error"]
    assert list(base.path.iterdir()) == []

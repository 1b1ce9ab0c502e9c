import hashlib
import pathlib
import subprocess
import sys

import pytest

from ikelos.pipelines.data.builders import packages
from ikelos.pipelines.errors import UserError

CONTENT = b"a wheel"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def wheel(folder, sha256=SHA256):
    return packages.wheel("some_data", "some_package", "1.2", sha256, folder)


@pytest.fixture
def pip(monkeypatch):
    """Replaces pip: records its commands, and writes the wheel unless `writes` is False."""

    def run(command, cwd, **options):
        pip.commands.append(command)
        if pip.writes:
            pathlib.Path(cwd, "some_package-1.2-py3-none-any.whl").write_bytes(CONTENT)
        return subprocess.CompletedProcess(command, int(not pip.writes), "", "no\nconnection")

    pip = type("Pip", (), {"commands": [], "writes": True})
    monkeypatch.setattr(packages.subprocess, "run", run)
    return pip


def test_a_wheel_is_fetched_once(pip, tmp_path):
    path = wheel(tmp_path / "manual")
    assert path.read_bytes() == CONTENT
    assert wheel(tmp_path / "manual") == path
    (command,) = pip.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "some_package==1.2"
    assert list(path.parent.iterdir()) == [path]


def test_another_wheel_and_a_failed_download_are_refused(pip, tmp_path):
    with pytest.raises(UserError, match="has another SHA-256 than expected"):
        wheel(tmp_path, "0" * 64)
    pip.writes = False
    with pytest.raises(UserError, match=r"pip download some_package==1\.2 failed .* no connection"):
        wheel(tmp_path / "other")

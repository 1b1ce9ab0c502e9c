import hashlib
import shutil
import subprocess
import zipfile

import pytest

from ikelos.pipelines.data.builders import packages
from ikelos.pipelines.errors import UserError


@pytest.fixture
def package(tmp_path):
    """Makes a Debian package with one file, in the folder `manual`."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    (tmp_path / "root" / "usr").mkdir(parents=True)
    (tmp_path / "root" / "usr" / "content").write_text("one")
    (tmp_path / "root" / "DEBIAN").mkdir()
    (tmp_path / "root" / "DEBIAN" / "control").write_text(
        "Package: sounds\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b.c>\nDescription: none\n"
    )
    path = tmp_path / "manual" / "sounds_1_all.deb"
    path.parent.mkdir()
    subprocess.run(["dpkg-deb", "--build", str(tmp_path / "root"), str(path)], check=True, capture_output=True)
    return path


def test_a_debian_package_is_unpacked_if_its_checksum_is_known(package):
    with pytest.raises(UserError, match=r"prompts: .*sounds_1_all\.deb has another SHA-256"):
        packages.debian("prompts", "sounds", ["0"], package.parent)
    checksum = hashlib.sha256(package.read_bytes()).hexdigest()
    for _ in range(2):
        folder = packages.debian("prompts", "sounds", ["0", checksum], package.parent)
        assert (folder / "usr" / "content").read_text() == "one"


def test_a_missing_program_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="prompts needs apt-get of Debian or Ubuntu, for the package sounds"):
        packages.debian("prompts", "sounds", ["0"], tmp_path / "manual")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Makes a wheel, the only one that installers find; returns its path."""
    path = tmp_path / "wheels" / "sounds-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("sounds/content", "one")
        file.writestr("sounds-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sounds\nVersion: 1.0\n")
        file.writestr(
            "sounds-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("sounds-1.0.dist-info/RECORD", "sounds/content,,\n")
    for installer in ("PIP", "UV"):
        monkeypatch.setenv(f"{installer}_NO_INDEX", "1")
        monkeypatch.setenv(f"{installer}_FIND_LINKS", str(path.parent))
    return path


def test_a_wheel_is_unpacked_if_its_checksum_is_known(wheel, tmp_path):
    with pytest.raises(UserError, match=r"prompts: .* failed with exit code"):
        packages.wheel("prompts", "sounds", "1.0", ["0" * 64], tmp_path / "manual")
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for _ in range(2):
        folder = packages.wheel("prompts", "sounds", "1.0", ["0" * 64, checksum], tmp_path / "manual")
        assert (folder / "sounds" / "content").read_text() == "one"
        wheel.unlink(missing_ok=True)  # it is fetched once


def test_an_installer_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(packages.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError, match="prompts needs pip or uv, for the package sounds"):
        packages.wheel("prompts", "sounds", "1.0", [], tmp_path)

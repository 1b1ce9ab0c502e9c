"""The stock check: verifies that an exported version loads and runs on a server without Ikelos.

`python -m ikelos.serving.check export/3` is its command line: it prints a report as JSON and exits with 0, or prints
the fault and exits with 1. `--library PATH` checks a version of the flavour `native`.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from ikelos.serving.compare import CheckFailed, difference
from ikelos.serving.damage import check_files
from ikelos.serving.examples import read_examples, read_expected
from ikelos.serving.graph import MUST_COMPILE, must_compile
from ikelos.serving.stock import StockError, StockModel

# Loading and one batch of examples take far less. A model that needs longer would hang a server too.
TIMEOUT_SECONDS = 600


def stock_check(
    path: str | os.PathLike, timeout: float = TIMEOUT_SECONDS, library: str | os.PathLike | None = None
) -> dict:
    """Loads and runs every signature of a version in a fresh process without Python TensorFlow.

    The process has only the ops of TensorFlow and of TF Text, like a stock TensorFlow Serving. Each signature runs on
    its example, and its outputs are compared with those that Python gave when the version was written.

    Args:
        path: Folder of a version that `ikelos.serving.export` wrote.
        timeout: Seconds after which the process is ended and the check fails.
        library: Path of Ikelos's native library, whose ops the process then has too, like a server that links them.

    Returns:
        `{signature: {output: largest difference from Python's output}}`, with 0.0 for outputs that were compared
        exactly.

    Raises:
        CheckFailed: If a file is damaged, a function must be compiled by XLA, the version does not load or run within
            `timeout`, or an output differs. The message is TensorFlow's, or names the file, or the signature, the
            output and the largest difference.
    """
    # With -P, no file in the current folder hides an installed package.
    command = [sys.executable, "-P", "-m", "ikelos.serving.check", os.fspath(path)]
    if library is not None:
        command += ["--library", os.fspath(library)]
    try:
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"The stock check of {path} did not end within {timeout:g} s") from None
    if child.returncode == 0:
        return json.loads(child.stdout)
    if child.returncode == 1 and child.stdout:
        raise CheckFailed(child.stdout.strip())
    raise CheckFailed(f"The stock check of {path} ended with status {child.returncode}: {child.stderr.strip()[-2000:]}")


def run_check(path: pathlib.Path, library: pathlib.Path | None = None) -> dict:
    """Runs `stock_check` in this process, which must not have imported tensorflow.

    Raises:
        CheckFailed: As in `stock_check`, or if tensorflow is imported.
    """
    try:
        check_files(path, hashes=True)
        examples, expected = read_examples(path), read_expected(path)
    except StockError as error:
        raise CheckFailed(str(error)) from error
    except FileNotFoundError as error:
        raise CheckFailed(f"{path} has no {error.filename}: was it written by ikelos.serving.export?") from error
    if must_compile(path):
        raise CheckFailed(f"A stock server refuses {path}: {MUST_COMPILE}")
    try:
        with StockModel(path, library) as model:
            if set(model.signatures) != set(examples):
                raise CheckFailed(
                    f"{path} has the signatures {sorted(model.signatures)} but examples of {sorted(examples)}"
                )
            report = {
                name: _compare(name, _run(model, name, example["inputs"]), expected[name])
                for name, example in examples.items()
            }
    except StockError as error:
        raise CheckFailed(f"A stock server cannot load {path}: {error}") from error
    # If TensorFlow's Python package were imported, ops that it has loaded would be available too.
    if "tensorflow" in sys.modules:
        raise CheckFailed("The check must run in a process that does not import tensorflow")
    return report


def _run(model: StockModel, name: str, inputs: dict) -> dict[str, np.ndarray]:
    try:
        return model.run(name, inputs)
    except (StockError, ValueError) as error:
        raise CheckFailed(f"Signature {name!r} does not run on its example: {error}") from error


def _compare(name: str, outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    if set(outputs) != set(expected):
        raise CheckFailed(f"Signature {name!r}: expected the outputs {sorted(expected)}. Received: {sorted(outputs)}")
    return {key: difference(f"Signature {name!r}, output {key!r}", outputs[key], expected[key]) for key in expected}


def main() -> int:
    """Runs the command line of the check and returns the exit status."""
    parser = argparse.ArgumentParser("python -m ikelos.serving.check", description="Run the stock check of a version.")
    parser.add_argument("version", metavar="VERSION_FOLDER", type=pathlib.Path)
    parser.add_argument("--library", metavar="PATH", type=pathlib.Path, help="library of the flavour native")
    arguments = parser.parse_args()
    try:
        print(json.dumps(run_check(arguments.version, arguments.library)))
    except CheckFailed as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The stock check: verifies that an exported version loads and runs on a server without Ikelos.

`python -m ikelos.serving.check export/3` is its command line: it prints a report as JSON and exits with 0, or prints
the fault and exits with 1.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from ikelos.serving.examples import read_examples, read_expected
from ikelos.serving.stock import StockError, StockModel

# A server optimises the graph and may add in another order than Python, so floats may differ by some rounding errors.
# The tolerance is |difference| <= TOLERANCE_ULPS * eps * (1 + |expected|), about 1.2e-4 in float32. Other dtypes are
# compared exactly.
TOLERANCE_ULPS = 1024
# Loading and one batch of examples take far less. A model that needs longer would hang a server too.
TIMEOUT_SECONDS = 600


class CheckFailed(Exception):  # noqa: N818, the message reads "CheckFailed: Signature ..."
    """Raised if a version does not load on a stock server, or does not give the outputs that it gave in Python."""


def stock_check(path: str | os.PathLike, timeout: float = TIMEOUT_SECONDS) -> dict:
    """Loads and runs every signature of a version in a fresh process without Python TensorFlow.

    The process has only the ops of TensorFlow and of TF Text, like a stock TensorFlow Serving. Each signature runs on
    its example, and its outputs are compared with those that Python gave when the version was written.

    Args:
        path: Folder of a version that `ikelos.serving.export` wrote.
        timeout: Seconds after which the process is ended and the check fails.

    Returns:
        `{signature: {output: largest difference from Python's output}}`, with 0.0 for outputs that were compared
        exactly.

    Raises:
        CheckFailed: If the version does not load or run within `timeout`, or an output differs. The message is
            TensorFlow's, or names the signature, the output and the largest difference.
    """
    # With -P, no file in the current folder hides an installed package.
    command = [sys.executable, "-P", "-m", "ikelos.serving.check", os.fspath(path)]
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


def run_check(path: pathlib.Path) -> dict:
    """Runs `stock_check` in this process, which must not have imported tensorflow.

    Raises:
        CheckFailed: As in `stock_check`, or if tensorflow is imported.
    """
    try:
        examples, expected = read_examples(path), read_expected(path)
    except FileNotFoundError as error:
        raise CheckFailed(f"{path} has no {error.filename}: was it written by ikelos.serving.export?") from error
    try:
        with StockModel(path) as model:
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
    return {key: _difference(f"Signature {name!r}, output {key!r}", outputs[key], expected[key]) for key in expected}


def _difference(label: str, received: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference between two arrays.

    Raises:
        CheckFailed: If the difference exceeds the tolerance, or dtypes or shapes differ.
    """
    if received.dtype != expected.dtype or received.shape != expected.shape:
        raise CheckFailed(
            f"{label}: expected {expected.dtype} of shape {expected.shape}. "
            f"Received: {received.dtype} of shape {received.shape}"
        )
    if expected.dtype.kind != "f":
        differs = np.flatnonzero((received != expected).ravel())
        if differs.size:
            first = differs[0]
            raise CheckFailed(
                f"{label}: {differs.size} of {expected.size} values differ from Python's answer, "
                f"the first at flat index {first}: expected {expected.flat[first]!r}. "
                f"Received: {received.flat[first]!r}"
            )
        return 0.0
    tolerance = TOLERANCE_ULPS * np.finfo(expected.dtype).eps
    with np.errstate(invalid="ignore"):
        differences = np.abs(received - expected)
    equal = (received == expected) | (np.isnan(received) & np.isnan(expected))
    differences = np.where(equal, 0, differences)  # inf - inf and nan - nan are nan
    largest = float(np.max(differences, initial=0.0))
    if not np.allclose(received, expected, rtol=tolerance, atol=tolerance, equal_nan=True):
        raise CheckFailed(
            f"{label}: differs from Python's answer by up to {largest:.3g}, "
            f"more than {tolerance:.3g} * (1 + |expected|)"
        )
    return largest


def main() -> int:
    """Runs the command line of the check and returns the exit status."""
    if len(sys.argv) != 2:
        print("usage: python -m ikelos.serving.check VERSION_FOLDER", file=sys.stderr)
        return 2
    try:
        print(json.dumps(run_check(pathlib.Path(sys.argv[1]))))
    except CheckFailed as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The stock check: does an exported version load and answer on a server that knows nothing of Ikelos?

`python -m ikelos.serving.check export/3` runs it by hand: it prints the report as JSON and ends with status
0, or prints what is wrong and ends with status 1.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from ikelos.serving.examples import read_examples, read_expected
from ikelos.serving.stock import StockError, StockModel

# The graph that a server optimises for itself may add in another order than the one Python ran, so floats may
# differ by some rounding errors: |difference| <= TOLERANCE_ULPS * eps * (1 + |expected|), about 1.2e-4 in
# float32. Anything else is compared exactly.
TOLERANCE_ULPS = 1024
# Far more than loading and one batch of examples take: a model that is still at it would hang a server too.
TIMEOUT_SECONDS = 600


class CheckFailed(Exception):  # noqa: N818, the message reads "CheckFailed: Signature ..."
    """A version does not load, run or answer on a stock server as it did in Python."""


def stock_check(path: str | os.PathLike, timeout: float = TIMEOUT_SECONDS) -> dict:
    """Loads and runs every signature of a version in a fresh process without Python TensorFlow.

    The process has the ops of TensorFlow and of TF Text and nothing else, as a stock TensorFlow Serving does.
    Each signature runs on its example, and its outputs are compared with those that Python gave when the
    version was written.

    Args:
        path: the folder of a version that `ikelos.serving.export` wrote.
        timeout: seconds until the process is ended and the check has failed.

    Returns:
        `{signature: {output: the biggest difference from Python's answer}}`, 0.0 for what was compared
        exactly.

    Raises:
        CheckFailed: with the signature, the output and the biggest difference, or TensorFlow's message.
    """
    # -P: the current folder must not hide an installed package.
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
    """Does the work of `stock_check` within this process, which must never have imported tensorflow."""
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
        raise CheckFailed(f"A stock server can't load {path}: {error}") from error
    # Python TensorFlow would have brought along whatever op libraries had been loaded through it.
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
    """The biggest difference between two arrays; CheckFailed if it is more than the tolerance."""
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
    same = (received == expected) | (np.isnan(received) & np.isnan(expected))
    differences = np.where(same, 0, differences)  # inf - inf and nan - nan are nan
    biggest = float(np.max(differences, initial=0.0))
    if not np.allclose(received, expected, rtol=tolerance, atol=tolerance, equal_nan=True):
        raise CheckFailed(
            f"{label}: differs from Python's answer by up to {biggest:.3g}, "
            f"more than {tolerance:.3g} * (1 + |expected|)"
        )
    return biggest


def main() -> int:
    """The command line of the check."""
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

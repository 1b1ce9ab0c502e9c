"""Runs signatures on batches of several sizes, and checks that a row never depends on its batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ikelos.serving.compare import common_part, difference
from ikelos.serving.signature import Signature
from ikelos.serving.values import is_float

SIZES = (1, 7)
"""Batch sizes at which every signature is run: a single row, and an odd number of them."""

Arrays = dict[str, np.ndarray]
Run = Callable[[Mapping[str, np.ndarray]], Arrays]


def of_size(arrays: Mapping[str, np.ndarray], rows: int, first: int = 0) -> Arrays:
    """Returns a batch of `rows` rows, the given ones from `first` on, again and again."""
    return {name: np.take(array, range(first, first + rows), axis=0, mode="wrap") for name, array in arrays.items()}


def run_example(signature: Signature, run: Run, eps: float = 0.0) -> Arrays:
    """Returns the outputs of a signature for its example, after checking them.

    Args:
        signature: The signature.
        run: Function from a batch of inputs to the outputs.
        eps: As in `ikelos.serving.compare.difference`.

    Raises:
        ValueError: If an output has another number of rows than the inputs, or a number that is not finite.
        CheckFailed: If a row has other outputs in another batch, of one row or of seven. Along axes of which the
            batches have different sizes, what both have is compared.
    """
    arrays = signature.example_arrays()
    count = len(next(iter(arrays.values())))
    expected = run_batch(signature, run, arrays)
    most = signature.max_rows or max(SIZES)
    for size in SIZES:
        # Each of the first rows alone; a longer example's others take as long again and show no more.
        for first in range(min(count, max(SIZES)) if size == 1 else 1):
            rows = min(size, most)
            found = run_batch(signature, run, of_size(arrays, rows, first))
            for name, whole in of_size(expected, rows, first).items():
                label = f"Signature {signature.name!r}, output {name!r}, in a batch of {rows}"
                difference(label, *common_part(found[name], whole), of=f"that in a batch of {count}", eps=eps)
    return expected


def run_batch(signature: Signature, run: Run, arrays: Arrays) -> Arrays:
    """Returns the outputs of a signature for a batch.

    Raises:
        ValueError: If an output has another number of rows than the inputs, or a number that is not finite.
    """
    rows, outputs = len(next(iter(arrays.values()))), run(arrays)
    for name, array in outputs.items():
        label = f"Signature {signature.name!r}: output {name!r}"
        if len(array) != rows:
            raise ValueError(
                f"{label} must have a row for each of the {rows} rows of the example. Received: shape {array.shape}"
            )
        if is_float(array.dtype) and not np.isfinite(array).all():
            raise ValueError(f"{label} must be finite on the example. Received: {array[~np.isfinite(array)][0]}")
    return outputs

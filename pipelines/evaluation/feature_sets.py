"""Checks two sets of features before they are compared."""

import numpy as np


def checked(**sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two sets of features, `[N,D]` and `[M,D]`, as float64; their keywords name them in errors.

    Raises:
        ValueError: If a set is not two-dimensional, or the sets differ in D.
    """
    (first, second), (a, b) = sets, (np.asarray(x, np.float64) for x in sets.values())
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`{first}` and `{second}` must be [N,D] and [M,D]. "
            f"Received: {first}.shape={a.shape}, {second}.shape={b.shape}"
        )
    return a, b

"""Two sets of features that are compared with each other."""

import numpy as np


def checked(**sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two sets, `[N,D]` and `[M,D]`, by the names of their arguments, as float64.

    Raises:
        ValueError: If they are of other shapes.
    """
    (first, second), (a, b) = sets, (np.asarray(x, np.float64) for x in sets.values())
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`{first}` and `{second}` must be [N,D] and [M,D]. "
            f"Received: {first}.shape={a.shape}, {second}.shape={b.shape}"
        )
    return a, b

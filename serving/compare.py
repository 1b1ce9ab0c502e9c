"""Compares the outputs of a model with those that are expected."""

import ml_dtypes
import numpy as np

from ikelos.serving.values import is_float

# A server optimises the graph and may add in another order than Python, so floats may differ by some rounding errors.
# The tolerance is |difference| <= TOLERANCE_ULPS * eps * (1 + |expected|), about 1.2e-4 in float32. Other dtypes are
# compared exactly.
TOLERANCE_ULPS = 1024
HALF_TOLERANCE_ULPS = 16
"""The same for a model that computes in half precision, or an output in it, in units of that precision: 0.13 in
bfloat16."""


class CheckFailed(Exception):  # noqa: N818, the message reads "CheckFailed: Signature ..."
    """Raised if a version does not load on a stock server, or does not give the outputs that it gave in Python."""


def difference(
    label: str, received: np.ndarray, expected: np.ndarray, of: str = "Python's answer", eps: float = 0.0
) -> float:
    """Returns the largest difference between two arrays.

    Args:
        label: Name of the output in messages.
        received: The output.
        expected: What it must be.
        of: Whose answer `expected` is, in messages.
        eps: Relative rounding error of the numbers with which floats were computed; at least that of their dtype.

    Raises:
        CheckFailed: If the difference exceeds the tolerance, or dtypes or shapes differ.
    """
    if received.dtype != expected.dtype or received.shape != expected.shape:
        raise CheckFailed(
            f"{label}: expected {expected.dtype} of shape {expected.shape}. "
            f"Received: {received.dtype} of shape {received.shape}"
        )
    if not is_float(expected.dtype):
        differs = np.flatnonzero((received != expected).ravel())
        if differs.size:
            first = differs[0]
            raise CheckFailed(
                f"{label}: {differs.size} of {expected.size} values differ from {of}, "
                f"the first at flat index {first}: expected {expected.flat[first]!r}. "
                f"Received: {received.flat[first]!r}"
            )
        return 0.0
    ulps = HALF_TOLERANCE_ULPS if expected.dtype.itemsize == 2 else TOLERANCE_ULPS
    tolerance = max(ulps * float(ml_dtypes.finfo(expected.dtype).eps), HALF_TOLERANCE_ULPS * eps)
    received, expected = received.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        differences = np.abs(received - expected)
    equal = (received == expected) | (np.isnan(received) & np.isnan(expected))
    differences = np.where(equal, 0, differences)  # inf - inf and nan - nan are nan
    largest = float(np.max(differences, initial=0.0))
    if not np.allclose(received, expected, rtol=tolerance, atol=tolerance, equal_nan=True):
        raise CheckFailed(
            f"{label}: differs from {of} by up to {largest:.3g}, more than {tolerance:.3g} * (1 + |expected|)"
        )
    return largest


def common_part(found: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the parts of two arrays that lie within both; the arrays themselves if they have other axes."""
    if found.ndim != whole.ndim:
        return found, whole
    inside = tuple(slice(min(sizes)) for sizes in zip(found.shape, whole.shape, strict=True))
    return found[inside], whole[inside]

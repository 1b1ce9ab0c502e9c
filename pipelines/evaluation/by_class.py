"""Means over examples, whole and by class."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def means(
    name: str, values: np.ndarray, counted: str, labels: np.ndarray | None, classes: Sequence[str]
) -> dict[str, Any]:
    """The mean of a figure over examples, its standard error, their number, and the same for each class there is.

    Args:
        name: Of the figure.
        values: Of each example, float64 `[N]`.
        counted: What the examples are, a plural.
        labels: Index of each example's class, int64 `[N]`; None without classes.
        classes: Their names.

    Returns:
        `{name: ..., "standard_error": ..., counted: N, "classes": {class: {name: ..., counted: ...}}}`.
    """
    parts = {}
    for index, part in enumerate(classes):
        here = values[labels == index]
        if here.size:
            parts[part] = {counted: here.size, name: float(here.mean())}
    return {
        name: float(values.mean()),
        "standard_error": float(values.std() / math.sqrt(len(values))),
        counted: len(values),
        "classes": parts,
    }

"""Means of a figure over all examples and over those of each class."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def means(
    name: str, values: np.ndarray, counted: str, labels: np.ndarray | None, classes: Sequence[str]
) -> dict[str, Any]:
    """Returns the mean of a figure, its standard error and the number of examples, and mean and number for each class.

    Args:
        name: Name of the figure.
        values: Figure of each example, float64 `[N]`.
        counted: Name of the examples in the plural.
        labels: Index of each example's class, int64 `[N]`; None without classes.
        classes: Names of the classes; those without examples are left out.

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

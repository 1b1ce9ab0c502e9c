"""Describes prepared data for reports."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ikelos.pipelines.data.store import ID, Store


def describe(store: Store, class_names: Sequence[str]) -> dict[str, Any]:
    """Returns the figures of a split as JSON.

    Args:
        store: Store of the split.
        class_names: Names of the classes in the order of the labels; empty without classes.

    Returns:
        `Store.facts`, with `lengths`: minimum, median, maximum and sum of each ragged column's lengths; and `classes`:
        the number of examples of each class.
    """
    ragged = [name for name, column in store.columns.items() if column.ragged and name != ID]
    lengths = {name: store.ragged(name).lengths for name in ragged}
    counts = [] if store.labels is None else np.bincount(store.labels, minlength=len(class_names)).tolist()
    return store.facts() | {
        "lengths": {
            name: {
                "min": int(values.min()),
                "median": float(np.median(values)),
                "max": int(values.max()),
                "sum": int(values.sum()),
            }
            for name, values in lengths.items()
        },
        "classes": dict(zip(class_names, counts, strict=True)) if counts else {},
    }

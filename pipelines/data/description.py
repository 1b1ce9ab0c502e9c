"""What is in prepared data, for people."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ikelos.pipelines.data.store import ID, Store


def describe(store: Store, class_names: Sequence[str]) -> dict[str, Any]:
    """Numbers of a split, JSON: `Store.facts`, lengths, classes.

    Args:
        store: Of the split.
        class_names: In the order of the labels; empty without classes.

    Returns:
        Also `lengths`, of each ragged column the least, the median and the greatest number of items and all together,
        and `classes`, the number of examples of each.
    """
    told = [name for name, column in store.columns.items() if column.ragged and name != ID]
    lengths = {name: store.ragged(name).lengths for name in told}
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

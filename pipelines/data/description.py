"""Describes prepared data for the terminal and for reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ikelos.pipelines.data.store import ID, Store


def left_out(facts: Mapping[str, Any]) -> str:
    """Returns the numbers of examples of a split that were left out, as text: `2 not UTF-8, 1 empty`.

    Args:
        facts: The result of `Store.facts`.

    Returns:
        The text; empty if no example was left out.
    """
    numbers = {**facts["skipped"], "empty": facts["empty"]}
    return ", ".join(f"{number:,} {kind}" for kind, number in numbers.items() if number)


def describe(store: Store, class_names: Sequence[str]) -> dict[str, Any]:
    """Returns the figures of a split as JSON.

    Args:
        store: Store of the split.
        class_names: Names of the classes in the order of the labels; empty without classes.

    Returns:
        The result of `Store.facts`, and two more entries: `lengths`, the minimum, median, maximum and sum of each
        ragged column's lengths; and `classes`, the number of examples of each class.
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

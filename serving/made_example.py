"""An example of a Keras model's inputs, made where the user gives none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ikelos.serving.bounds import Bound
from ikelos.serving.keras_inputs import Input

if TYPE_CHECKING:
    import keras

_ROWS = 2
_FREE_SIZE = 32
"""Size of an example along an axis of any size: images that a network halves five times still have a pixel."""


def made_example(
    model: keras.Model, inputs: Iterable[Input], bounds: Mapping[str, Bound], max_rows: int | None
) -> dict[str, list]:
    """Returns a batch for each input by name, within the bounds.

    Args:
        model: The model.
        inputs: Its inputs.
        bounds: Bounds of some inputs, as `ikelos.serving.bounds.fitted` returns them.
        max_rows: Most rows; None for any number.
    """
    import keras

    embedded = [layer.input_dim for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    last = min(embedded, default=math.inf) - 1
    rows = min(_ROWS, max_rows or _ROWS)
    return {x.name: _values(x, last, bounds.get(x.name, Bound()), rows).tolist() for x in inputs}


def _values(x: Input, last: float, bound: Bound, rows: int) -> np.ndarray:
    """Returns a batch for an input, with integers up to `last`, the last index of an embedding, if the bound allows."""
    free = min(_FREE_SIZE, bound.max_size or _FREE_SIZE)
    shape = [free if size is None else size for size in x.shape[1:]]
    row = np.arange(rows).reshape([-1, *[1] * len(shape)])
    # Rows differ, so that one that depends on another is found.
    place = np.arange(math.prod(shape)).reshape([1, *shape]) + row
    if x.dtype == "string":
        return _texts(place, row, bound.max_bytes)
    if x.dtype == "bool":
        return place >= 0  # all true, because a mask that excludes everything of a row has no result
    low, high = bound.values or ((0.0, 1.0) if "float" in x.dtype else (min(1, last), 2))
    if "float" in x.dtype:
        nearest = min(max(low, 0.0), high)
        # Long enough for numbers of half precision to differ.
        low, high = _part(low, high, start=0, length=max(1.0, abs(nearest) / 8))
        return low + (high - low) * (place % 7 + 1) / 8
    # Not from 0, if the range allows, because it often means padding.
    numbers = _part(low, max(low, min(high, last)), start=1, length=1)
    return np.array(numbers, object)[place % 2]


def _part(low: float, high: float, start: int, length: float) -> tuple[float, float]:
    """Returns the ends of a part of a range that is as near to `start` as it can be, and not longer than `length`."""
    first = min(max(start, low), max(low, high - length))
    return first, min(first + length, high)


def _texts(place: np.ndarray, row: np.ndarray, max_bytes: int | None) -> np.ndarray:
    # The rows have different numbers of words, so that a model for which padding counts as text is found.
    letters = np.where(place % 2 == 0, "a", "b")
    longer = np.where(place % 2 == 0, "a b", "b a")
    return np.where((row % 2 == 1) & (max_bytes is None or max_bytes >= 3), longer, letters)

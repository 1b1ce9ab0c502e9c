"""The formats in which an export stores the weights, and what a model loses by them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from ikelos.serving.compare import common_part
from ikelos.serving.values import is_float

if TYPE_CHECKING:
    import tensorflow as tf

FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
FORMATS = (FLOAT32, BFLOAT16, INT8)
_INT8_MAX = 127


@contextlib.contextmanager
def stored_weights(model: Any, weights: str) -> Iterator[None]:
    """Context manager in which a model has the weights that an export with `weights` gives to a server.

    Measure the model in it to see what the smaller export costs. The float32 weights return at its end, bit by bit.

    Args:
        model: A Keras model, a tf.Module, or a list or dict of these.
        weights: `float32`, `bfloat16` or `int8`, as in `ikelos.serving.export`.

    Raises:
        ValueError: If `weights` is none of these, or is `int8` and a matrix has a number that is not finite.

    Example:
        >>> before = model.evaluate(x, y)
        >>> with serving.stored_weights(model, "bfloat16"):
        ...     after = model.evaluate(x, y)
    """
    check_format(weights)
    with rounded_weights(_variables(model), weights):
        yield


@contextlib.contextmanager
def rounded_weights(variables: Iterable[tf.Variable], weights: str) -> Iterator[dict[int, list[np.ndarray]]]:
    """Context manager in which those of the variables that `is_matrix` accepts have the values that a format keeps.

    It gives what the format stores for them, the arrays of `encode` by the `id` of the variable's handle.

    Raises:
        ValueError: If the format is `int8` and a matrix has a number that is not finite.
    """
    before: list[tuple[tf.Variable, np.ndarray]] = []
    stored: dict[int, list[np.ndarray]] = {}
    try:
        for variable in variables:
            if weights == FLOAT32 or not is_matrix(variable) or id(variable.handle) in stored:
                continue
            value = variable.numpy()
            if weights == INT8 and not np.isfinite(value).all():
                raise ValueError(
                    f"`weights` must be {FLOAT32} or {BFLOAT16} for a matrix with numbers that are not finite. "
                    f"Received: weights={weights!r}, a matrix {variable.name!r}"
                )
            stored[id(variable.handle)] = encode(value, weights)
            before.append((variable, value))
            variable.assign(decode(stored[id(variable.handle)]))
        yield stored
    finally:
        for variable, value in before:
            variable.assign(value)


def check_format(weights: str) -> None:
    """Raises ValueError if `weights` is no format."""
    if weights not in FORMATS:
        raise ValueError(f"`weights` must be one of {', '.join(FORMATS)}. Received: weights={weights!r}")


def is_matrix(variable: tf.Variable) -> bool:
    """Returns whether a variable is float32 with two axes or more, of known sizes.

    Vectors stay as they are: biases and scales of normalisation are few, and their errors reach every output.
    """
    return variable.dtype.name == "float32" and variable.shape.is_fully_defined() and variable.shape.rank > 1


def encode(value: np.ndarray, weights: str) -> list[np.ndarray]:
    """Returns the arrays that a format stores for a float32 matrix: its values, and with `int8` their scale.

    `int8` has a scale for each index of the last axis, the largest magnitude of which becomes 127; all numbers must be
    finite.
    """
    if weights == BFLOAT16:
        # The largest float32 numbers, such as the logits of excluded tokens, would become infinite.
        limit = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
        finite = np.where(np.isinf(value), value, np.clip(value, -limit, limit))
        return [finite.astype(ml_dtypes.bfloat16)]
    scale = np.max(np.abs(value), axis=tuple(range(value.ndim - 1)), keepdims=True, initial=0.0) / _INT8_MAX
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return [np.rint(value / scale).astype(np.int8), scale]


def decode(arrays: list[np.ndarray]) -> np.ndarray:
    """Returns the float32 matrix for which `encode` returned the arrays."""
    value, *scale = (array.astype(np.float32) for array in arrays)
    return value * scale[0] if scale else value


def size_facts(
    variables: Iterable[tf.Variable], weights: str, stored: Mapping[int, list[np.ndarray]]
) -> dict[str, Any]:
    """Returns what a card says of the size of variables: `stored_as`, their `bytes`, and their `float32_bytes`.

    `stored` is what `rounded_weights` gave for them.
    """
    size = plain = 0
    for variable in variables:
        value = np.asarray(variable.numpy())
        plain += value.nbytes
        size += sum(array.nbytes for array in stored.get(id(variable.handle), [value]))
    return {"stored_as": weights, "bytes": size, "float32_bytes": plain}


def weights_text(facts: Mapping[str, Any]) -> str:
    """Returns what `size_facts` told, for people."""
    text = f"Stored as {facts['stored_as']}, {facts['bytes']:,} bytes"
    return text + (f" instead of {facts['float32_bytes']:,}" if facts["stored_as"] != FLOAT32 else "")


def output_changes(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns how far outputs differ from those with float32 weights.

    Returns:
        For each output of floats the largest absolute difference, for another one the share of rows that differ. Of
        floats whose sizes differ, such as generated audio, what both have is compared.
    """
    return {name: _change(before[name], array) for name, array in after.items()}


def _change(before: np.ndarray, after: np.ndarray) -> float:
    if not is_float(after.dtype):
        return float(np.mean([not np.array_equal(*rows) for rows in zip(before, after, strict=True)]))
    before, after = (part.astype(np.float64) for part in common_part(before, after))
    differences = np.abs(before - after)
    return float(np.max(differences, initial=0.0))


def _variables(model: Any) -> Iterator[tf.Variable]:
    import keras
    import tensorflow as tf

    root = tf.Module()
    root.held = model
    for held in tf.train.TrackableView(root).descendants():
        if isinstance(held, keras.Variable):
            held = held.value
        if isinstance(held, tf.Variable):
            yield held

"""Bounds of a signature's inputs, which its graph checks before any work is done.

A client can send anything: a length of 2^31, a prompt of 100 MB, a temperature that is not a number. The checks are
part of the graph, so every server makes them, and the client gets INVALID_ARGUMENT with the input and its bound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Bound:
    """Bound of one input of a signature.

    Attributes:
        values: Smallest and largest number, both allowed; None for any. NaN is never allowed.
        max_bytes: Most bytes of a string; None for any number.
        max_size: Largest size of each axis after the batch whose size is free; None for any size.

    Raises:
        ValueError: If the smallest number is above the largest, or `max_bytes` or `max_size` is below 1.
    """

    values: tuple[float, float] | None = None
    max_bytes: int | None = None
    max_size: int | None = None

    def __post_init__(self):
        if self.values is not None and not self.values[0] <= self.values[1]:
            raise ValueError(f"`values` must be a smallest and a largest number. Received: values={self.values}")
        for name in ("max_bytes", "max_size"):
            most = getattr(self, name)
            if most is not None and most < 1:
                raise ValueError(f"`{name}` must be a positive integer or None. Received: {name}={most}")

    def facts(self) -> dict[str, Any]:
        """Returns what is bounded as JSON data, such as `{"values": [0, 1]}`; empty if nothing is."""
        found = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return found | ({"values": np.asarray(self.values).tolist()} if self.values is not None else {})


def text_of(facts: Mapping[str, Any]) -> str:
    """Returns the facts of a bound in words, such as `0 to 1`; empty if nothing is bounded."""
    words = []
    if "values" in facts:
        low, high = facts["values"]
        words.append(f"at least {_number(low)}" if high >= _LARGEST else f"{_number(low)} to {_number(high)}")
    if "max_bytes" in facts:
        words.append(f"at most {facts['max_bytes']:,} bytes")
    if "max_size" in facts:
        words.append(f"at most {facts['max_size']:,} positions")
    return ", ".join(words)


def checked(
    inputs: Mapping[str, tf.Tensor],
    specs: Mapping[str, tf.TensorSpec],
    bounds: Mapping[str, Bound],
    max_rows: int | None,
) -> dict[str, tf.Tensor]:
    """Returns the inputs, which can only be read after all of them were checked.

    Args:
        inputs: Batch-first tensors by name.
        specs: Their specifications, which say what sizes are free.
        bounds: Bounds of some inputs.
        max_rows: Most rows of a batch, which must then have at least one row; None for any number.

    Raises:
        tf.errors.InvalidArgumentError: When run, if the inputs have different numbers of rows, or one exceeds its
            bound; the message names the input.
    """
    # First what costs nothing, however large the inputs are.
    found = _after(_row_checks(inputs, max_rows), inputs)
    found = _after([_size_check(name, found[name], specs[name], bound) for name, bound in bounds.items()], found)
    checks = [check for name, bound in bounds.items() for check in _value_checks(name, found[name], bound)]
    return _after(checks, found)


def _after(checks: list[tf.Operation], inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the inputs, which can only be read after the checks."""
    import tensorflow as tf

    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in inputs.items()}


def within(label: str, values: tf.Tensor, low: float, high: float) -> tf.Operation:
    """Returns an assertion that all numbers are from `low` to `high`; its message names what they are.

    Args:
        label: What the numbers are, such as "`length`" or "The bytes of `prompt`".
        values: Numbers of any shape.
        low: Smallest number, in the range of the dtype.
        high: Largest number, in the range of the dtype.
    """
    import tensorflow as tf

    inside = (values >= low) & (values <= high)
    message = f"{label} must be between {_number(low)} and {_number(high)}. Received:"
    return tf.debugging.Assert(tf.reduce_all(inside), [message, tf.boolean_mask(values, ~inside)])


def _row_checks(inputs: Mapping[str, tf.Tensor], max_rows: int | None) -> list[tf.Operation]:
    import tensorflow as tf

    rows = {name: tf.shape(tensor, tf.int64)[0] for name, tensor in inputs.items()}
    first, *others = rows
    checks = [
        tf.debugging.Assert(
            rows[name] == rows[first],
            [f"`{name}` must have as many rows as `{first}`. Received:", rows[name], rows[first]],
        )
        for name in others
    ]
    if max_rows is not None:
        checks.append(within(f"The rows of `{first}`", rows[first][None], 1, max_rows))
    return checks


def _size_check(name: str, tensor: tf.Tensor, spec: tf.TensorSpec, bound: Bound) -> tf.Operation:
    import tensorflow as tf

    if bound.max_size is None:
        return tf.no_op()
    free = [axis for axis, size in enumerate(spec.shape) if axis and size is None]
    return within(f"The positions of `{name}`", tf.gather(tf.shape(tensor, tf.int64), free), 0, bound.max_size)


def _value_checks(name: str, tensor: tf.Tensor, bound: Bound) -> list[tf.Operation]:
    import tensorflow as tf

    checks = []
    if bound.max_bytes is not None:
        checks.append(within(f"The bytes of `{name}`", tf.strings.length(tensor), 0, bound.max_bytes))
    if bound.values is not None:
        checks.append(within(f"`{name}`", tensor, *bound.values))
    return checks


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"

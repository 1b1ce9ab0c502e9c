"""Bounds of a signature's inputs, which its graph checks before any work is done.

A client can send anything: a length of 2^31, a prompt of 100 MB, a temperature that is not a number. The checks are
part of the graph, so every server makes them, and the client gets INVALID_ARGUMENT with the input and its bound.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from ikelos.serving.arguments import is_integer, is_number, most, require
from ikelos.serving.values import DTYPES, is_float

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Bound:
    """Bound of one input of a signature.

    Attributes:
        values: Smallest and largest number, both allowed; None for any. NaN is never allowed. Infinity stands for the
            largest finite number of the input's dtype.
        max_bytes: Most bytes of a string; None for any number.
        max_size: Largest size of each axis after the batch whose size is free; None for any size.

    Raises:
        ValueError: If `values` are not two numbers, the smallest first, or `max_bytes` or `max_size` is no positive
            integer.
    """

    values: tuple[float, float] | None = None
    max_bytes: int | None = None
    max_size: int | None = None

    def __post_init__(self):
        if self.values is not None:
            object.__setattr__(self, "values", _ordered(self.values))
        for name in ("max_bytes", "max_size"):
            object.__setattr__(self, name, most(name, getattr(self, name)))

    def facts(self) -> dict[str, Any]:
        """Returns what is bounded as JSON data, such as `{"values": [0, 1]}`; empty if nothing is."""
        found = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return found | ({"values": list(self.values)} if self.values is not None else {})


def _ordered(values: Any) -> tuple[float, float]:
    """Returns a smallest and a largest number as numbers of Python, because JSON cannot write those of NumPy."""
    ends = tuple(values) if isinstance(values, tuple | list | np.ndarray) else ()
    fits = len(ends) == 2 and all(map(is_number, ends)) and ends[0] <= ends[1]
    require(fits, "values", "a smallest and a largest number", values)
    low, high = (int(end) if is_integer(end) else float(end) for end in ends)
    return low, high


def fitted(label: str, bounds: Mapping[str, Bound], specs: Mapping[str, tf.TensorSpec]) -> dict[str, Bound]:
    """Returns the bounds of inputs with `values` that the dtypes of the inputs can represent.

    Args:
        label: What has the inputs, for messages.
        bounds: Bounds of some inputs by name.
        specs: The specifications of the inputs.

    Raises:
        ValueError: If a bound is of no input, or of what its input does not have, or a number of it is outside the
            dtype of its input or no whole number for integers.
    """
    require(isinstance(bounds, Mapping), "bounds", "a dict of Bounds by the names of inputs", bounds, label)
    found = {}
    for name, bound in bounds.items():
        if name not in specs:
            raise ValueError(f"{label}: `bounds` must be of inputs, {sorted(specs)}. Received: {name!r}")
        require(isinstance(bound, Bound), f"bounds[{name!r}]", "a Bound", bound, label)
        spec = specs[name]
        for kind, fits in (
            ("values", spec.dtype.is_floating or spec.dtype.is_integer),
            ("max_bytes", spec.dtype.name == "string"),
            ("max_size", None in spec.shape[1:].as_list()),
        ):
            if getattr(bound, kind) is not None and not fits:
                raise ValueError(f"{label}: input {name!r} of {spec.dtype.name}, shape {spec.shape}, has no `{kind}`")
        values = None if bound.values is None else _in_dtype(label, name, bound.values, spec.dtype.name)
        found[name] = dataclasses.replace(bound, values=values)
    return found


def _in_dtype(label: str, name: str, values: tuple[float, float], dtype: str) -> tuple[float, float]:
    lowest, highest = _range_of(dtype)
    low = lowest if values[0] == -math.inf else values[0]
    high = highest if values[1] == math.inf else values[1]
    is_whole = isinstance(lowest, int)
    # TensorFlow would take -1 for 255 in uint8, and fail at 0.0 for an integer with an error that names nothing.
    if not (lowest <= low <= high <= highest and (not is_whole or low % 1 == high % 1 == 0)):
        kind = "whole numbers" if is_whole else "numbers"
        raise ValueError(
            f"{label}: the bound of input {name!r} of {dtype} must be {kind} from {lowest} to {highest}, or infinite. "
            f"Received: values={values}"
        )
    return (int(low), int(high)) if is_whole else (low, high)


def _range_of(dtype: str) -> tuple[float, float]:
    """Returns the smallest and the largest finite number of a dtype, by TensorFlow's name."""
    kind = DTYPES[dtype][1]
    if is_float(kind):
        return float(ml_dtypes.finfo(kind).min), float(ml_dtypes.finfo(kind).max)
    return int(np.iinfo(kind).min), int(np.iinfo(kind).max)


def text_of(facts: Mapping[str, Any], dtype: str) -> str:
    """Returns the facts of a bound of an input of a dtype in words, such as `0 to 1`; empty if nothing is bounded."""
    words = []
    if "values" in facts:
        words.append(_range_text(facts["values"], _range_of(dtype)))
    if "max_bytes" in facts:
        words.append(f"at most {facts['max_bytes']:,} bytes")
    if "max_size" in facts:
        words.append(f"at most {facts['max_size']:,} positions")
    return ", ".join(filter(None, words))


def _range_text(values: Sequence[float], limits: tuple[float, float]) -> str:
    (low, high), (lowest, highest) = values, limits
    if low > lowest:
        return f"{_number(low)} to {_number(high)}" if high < highest else f"at least {_number(low)}"
    if high < highest:
        return f"at most {_number(high)}"
    return "finite" if isinstance(lowest, float) else ""


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
        bounds: Bounds of some inputs, as `fitted` returns them.
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
        most_bytes = min(bound.max_bytes, tf.int32.max)  # TensorFlow counts bytes in int32, in which more would wrap
        checks.append(within(f"The bytes of `{name}`", tf.strings.length(tensor), 0, most_bytes))
    if bound.values is not None:
        checks.append(within(f"`{name}`", tensor, *bound.values))
    return checks


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"

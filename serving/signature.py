"""Signatures, the named functions of a served model."""

from __future__ import annotations

import dataclasses
import keyword
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ikelos.serving.arguments import most, require
from ikelos.serving.bounds import Bound, checked, fitted
from ikelos.serving.values import DTYPES, to_array

if TYPE_CHECKING:
    import tensorflow as tf

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
INPUT_NAME = "consist of letters, digits and _, with a letter first, and be neither `self` nor a keyword of Python"
"""What an input's name must do."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """Named function of batch-first tensors that an exported model provides.

    Every row of an output must depend only on the same row of the inputs, not on random numbers or a state. Otherwise
    neither batching on the server nor the stock check would work. So a seed must be an input. If an output contains
    bytes other than text, its name must end in `_bytes`; TensorFlow Serving then sends it as base64.

    Attributes:
        name: Name of the signature. TensorFlow Serving uses `serving_default` if a request names none.
        function: Function of the tensors of `inputs`, given by keyword, that returns a dict of dense tensors `[B,...]`.
            It is traced without AutoGraph, which takes longer than tracing. A function with Python's `if` or `while` on
            tensors must be a `tf.function`.
        inputs: A `tf.TensorSpec` of shape `[None, ...]` for every input by name; those of ragged and sparse tensors
            cannot be served. No name may be `self` or a keyword of Python, which TensorFlow cannot pass on.
        example: A small batch of values for every input, as nested lists with text as str. The stock check, the warm-up
            of the server and users use it.
        doc: One line for users.
        bounds: Bounds of inputs by name. The graph checks them before any work is done, and the model card and
            `ikelos describe` show them. Their `values` are converted to numbers of the inputs' dtypes.
        max_rows: Most rows of a batch, which must then have at least one row; None for any number.

    Raises:
        ValueError: If an attribute is invalid; the message names the signature and the input.
    """

    name: str
    function: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]
    example: dict[str, list]
    doc: str
    bounds: Mapping[str, Bound] = dataclasses.field(default_factory=dict)
    max_rows: int | None = None

    def __post_init__(self):
        require(is_name(self.name), "name", "text of letters, digits and _, with a letter first", self.name)
        label = f"Signature {self.name!r}"
        require(callable(self.function), "function", "callable", self.function, label)
        is_line = isinstance(self.doc, str) and bool(self.doc.strip()) and "\n" not in self.doc
        require(is_line, "doc", "one line of text", self.doc, label)
        is_dict = isinstance(self.inputs, Mapping) and bool(self.inputs)
        require(is_dict, "inputs", "a dict of at least one tf.TensorSpec by name", self.inputs, label)
        for name, spec in self.inputs.items():
            _check_input(label, name, spec)
        require(isinstance(self.example, Mapping), "example", "a dict of batches by input", self.example, label)
        if set(self.example) != set(self.inputs):
            raise ValueError(
                f"{label}: `example` must have a value for each of {sorted(self.inputs)}. "
                f"Received: {sorted(map(str, self.example))}"
            )
        object.__setattr__(self, "bounds", fitted(label, self.bounds, self.inputs))
        object.__setattr__(self, "max_rows", most("max_rows", self.max_rows, label))
        self.example_arrays()

    def __call__(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs `function` after the inputs were checked by the bounds, as an exported model does.

        Raises:
            tf.errors.InvalidArgumentError: When run, if the inputs have different numbers of rows, or one exceeds its
                bound; the message names the input.
        """
        return self.function(**checked(inputs, self.inputs, self.bounds, self.max_rows))

    def example_arrays(self) -> dict[str, np.ndarray]:
        """Returns the example as arrays of the inputs' dtypes, all with the same number of rows, at least 1.

        Raises:
            ValueError: If a value does not fit the dtype or shape of its input, or the numbers of rows differ or are 0.
        """
        arrays = {}
        for name, spec in self.inputs.items():
            label = f"Signature {self.name!r}: example of input {name!r}"
            arrays[name] = to_array(label, self.example[name], spec.dtype.name, tuple(spec.shape.as_list()))
        rows = {name: len(array) for name, array in arrays.items()}
        if len(set(rows.values())) != 1 or 0 in rows.values():
            raise ValueError(
                f"Signature {self.name!r}: `example` must have the same number of rows for each input, "
                f"at least one. Received: {rows}"
            )
        return arrays


def is_name(name: object) -> bool:
    """Returns whether `name` is a valid name of a signature, an input or an output."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def is_input_name(name: object) -> bool:
    """Returns whether `name` is a valid name of an input, which TensorFlow passes on as a keyword argument."""
    return is_name(name) and not keyword.iskeyword(str(name)) and name != "self"


def _check_input(label: str, name: str, spec: tf.TensorSpec) -> None:
    import tensorflow as tf

    if not is_input_name(name):
        raise ValueError(f"{label}: the name of an input must {INPUT_NAME}. Received: {name!r}")
    # Those of ragged and sparse tensors have a shape and a dtype too.
    if not isinstance(spec, tf.TensorSpec):
        raise ValueError(f"{label}: input {name!r} must be a tf.TensorSpec of dense tensors. Received: {spec!r}")
    if spec.dtype.name not in DTYPES:
        raise ValueError(
            f"{label}: input {name!r} must have one of the dtypes {', '.join(DTYPES)}. Received: {spec.dtype.name}"
        )
    if not spec.shape.rank or spec.shape[0] is not None:
        raise ValueError(
            f"{label}: input {name!r} must be batch-first, with shape [None, ...]. Received: shape {spec.shape}"
        )

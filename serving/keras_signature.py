"""The signature of a Keras model: its named inputs and outputs, batch-first, with an example."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ikelos.serving.bounds import Bound
from ikelos.serving.keras_outputs import named_outputs
from ikelos.serving.signature import Signature, is_name
from ikelos.serving.values import DTYPES

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_ROWS = 2
_FREE_SIZE = 32
"""Size of an example along an axis of any size: images that a network halves five times still have a pixel."""
_HIGHEST = 2
"""Largest integer of an example that is made, unless an embedding has fewer rows."""
_ONLY_INPUT = "inputs"
"""Name of an only input that has none."""
_UNNAMED = "keras_tensor"
"""What Keras calls an input without a name, with or without a number behind it."""


@dataclasses.dataclass(frozen=True)
class _Input:
    """An input: how the model is called with it, the name in the signature, its shape with the batch, its dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def keras_signature(
    model: keras.Model,
    example: Mapping[str, Any] | Any = None,
    bounds: Mapping[str, Bound] | None = None,
    max_rows: int | None = None,
) -> Signature:
    """Returns the signature `serving_default` of a model, with its own names, shapes and dtypes.

    An only input without a name is called `inputs`, and an only output whose layer was not given a name `outputs`.
    Other outputs have the names of their layers, with a number if the layer has several: the next one that is not part
    of another layer's name. Outputs of a subclassed model are called `output_0`, `output_1`, .... Where there are
    dicts, an output has its key; in dicts and lists within each other the keys and places on the way to it, such as
    `state_0` for the first of the list `state`.

    Args:
        model: A functional or Sequential model, or a subclassed one that was called on tensors of the shapes to serve.
        example: A batch of values for each input, by name, or for the only input. None makes two rows of small
            numbers: integers of 1 and 2 (fewer if an embedding has fewer rows), floats between 0 and 1, the letters a
            and b, and 32 positions along each axis of any size. The inputs of a subclassed model have the shapes of
            its first call, or of an example by name. They have the dtypes of the example, float32 for float64, or
            else float32.
        bounds: Bounds of inputs by name.
        max_rows: Most rows of a batch.

    Raises:
        ValueError: If the model is not built, keeps a state between calls, has several inputs of which one has no
            name, or an input or output with a name or dtype that cannot be served, or the example does not fit.
    """
    import tensorflow as tf

    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            raise ValueError(
                f"`model` must not keep a state between calls: the next request may be another client's. Make the "
                f"state an input (`initial_state`) and an output (`return_state`). Received: layer {layer.name!r} with "
                "stateful=True"
            )
    given = None if example is None else _as_mapping(example)
    is_graph = bool(getattr(model, "inputs", None))  # subclassed models and Sequential ones without an input have none
    inputs = _graph_inputs(model) if is_graph else _built_inputs(model, given)
    names = [x.name for x in inputs]
    if given is not None and list(given) == [None]:
        given = {names[0]: given[None]} if len(names) == 1 else {}
    if given is not None and set(given) != set(names):
        raise ValueError(f"`example` must have a batch for each input, {names}. Received: {sorted(map(str, given))}")
    call = _caller(model, inputs, is_graph)
    return Signature(
        name="serving_default",
        function=lambda **tensors: named_outputs(model, call(tensors)),
        inputs={x.name: tf.TensorSpec(x.shape, x.dtype) for x in inputs},
        example={name: _lists(given[name]) for name in names} if given else _made_example(model, inputs),
        doc=f"Outputs of the Keras model {model.name}.",
        bounds=bounds or {},
        max_rows=max_rows,
    )


def rounding_error(model: keras.Model) -> float:
    """Returns the relative rounding error of the coarsest numbers with which a layer of a model computes."""
    import ml_dtypes  # which TensorFlow installs; NumPy does not know bfloat16

    names = {layer.compute_dtype for layer in model._flatten_layers() if "float" in (layer.compute_dtype or "")}
    return max((float(ml_dtypes.finfo(name).eps) for name in names), default=0.0)


def _lists(batch: Any) -> Any:
    # A list stays: NumPy would drop the zero bytes at the end of its bytes.
    return batch if isinstance(batch, list | tuple) else np.asarray(batch).tolist()


def _as_mapping(example: Any) -> dict[Any, Any]:
    """Returns the batches of an example by name; that of the only input under None."""
    return dict(example) if isinstance(example, Mapping) else {None: example}


def _graph_inputs(model: keras.Model) -> list[_Input]:
    names = [x.name for x in model.inputs]
    if len(names) == 1 and names[0].startswith(_UNNAMED):
        names = [_ONLY_INPUT]
    for name in names:
        if name.startswith(_UNNAMED) or not is_name(name):
            raise ValueError(
                "`model` must have inputs with names of letters, digits and _, with a letter first: "
                f"keras.Input(..., name='pixels'). Received: {name!r} among {names}"
            )
    return [_Input(name, tuple(x.shape), x.dtype) for name, x in zip(names, model.inputs, strict=True)]


def _built_inputs(model: keras.Model, given: Mapping[Any, Any] | None) -> list[_Input]:
    if given is not None and None not in given:
        return [_Input(name, (None, *np.shape(batch)[1:]), _dtype(batch)) for name, batch in given.items()]
    shapes = model.get_build_config()["input_shape"] if model.built and model.get_build_config() else None
    shapes = {_ONLY_INPUT: shapes} if isinstance(shapes, tuple | list) else shapes
    if not isinstance(shapes, dict) or not all(shapes.values()) or len(_required(model)) > 1:
        raise ValueError(
            "`model` must be functional, Sequential with a keras.Input, or have been called on a batch, so that its "
            "inputs are known; one that is called with several arguments needs an `example`. Received: "
            f"{model.name}, {'called with ' + ', '.join(_required(model)) if model.built else 'not built'}"
        )
    dtype = "float32" if given is None else _dtype(given[None])
    return [_Input(name, (None, *shape[1:]), dtype) for name, shape in shapes.items()]


def _required(model: keras.Model) -> list[str]:
    """Returns the names of the arguments without which a subclassed model cannot be called."""
    parameters = inspect.signature(model.call).parameters.values()
    return [
        x.name for x in parameters if x.default is x.empty and x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)
    ]


def _dtype(batch: Any) -> str:
    values = np.asarray(batch)
    if values.dtype.kind in "OSU":
        return "string"
    # In place of NumPy's defaults, those of Keras: but an array of int64 may be meant.
    if values.dtype == np.float64:
        return "float32"
    return "int32" if values.dtype == np.int64 and not isinstance(batch, np.ndarray) else values.dtype.name


def _caller(model: keras.Model, inputs: list[_Input], is_graph: bool):
    """Returns a function from the tensors by name to the model's outputs."""
    import keras

    names = [x.name for x in inputs]
    if not is_graph:
        arguments = inspect.signature(model.call).parameters
        if all(name in arguments for name in names):
            return lambda tensors: model(**tensors)
        return lambda tensors: model(tensors[_ONLY_INPUT] if names == [_ONLY_INPUT] else tensors)
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return lambda tensors: model(
        keras.tree.pack_sequence_as(structure, [tensors[name] for name in names]), training=False
    )


def _made_example(model: keras.Model, inputs: list[_Input]) -> dict[str, list]:
    import keras

    rows = [layer.input_dim for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    highest = min([_HIGHEST, *(count - 1 for count in rows)])
    return {x.name: _values(x, highest).tolist() for x in inputs}


def _values(x: _Input, highest: int) -> np.ndarray:
    if x.dtype not in DTYPES:
        raise ValueError(
            f"`model` must have inputs of the dtypes {', '.join(DTYPES)}. Received: input {x.name!r} of {x.dtype}"
        )
    shape = [_ROWS, *(_FREE_SIZE if size is None else size for size in x.shape[1:])]
    # Rows differ, so that one that depends on another is found; and there is no 0, which often means padding.
    place = np.arange(np.prod(shape, dtype=int)).reshape(shape) + np.arange(_ROWS).reshape(
        [-1, *[1] * (len(shape) - 1)]
    )
    if x.dtype == "string":
        return np.where(place % 2 == 0, "a", "b")
    if x.dtype == "bool":
        return place >= 0
    if "float" in x.dtype:
        return (place % 7 + 1) / 8
    return np.minimum(place % _HIGHEST + 1, highest)

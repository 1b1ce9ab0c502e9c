"""Inputs of a Keras model: their names, shapes and dtypes, and how the model is called with them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ikelos.serving.signature import INPUT_NAME, is_input_name
from ikelos.serving.values import DTYPES

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_ONLY_INPUT = "inputs"
"""Name of an only input that has none."""
_UNNAMED = "keras_tensor"
"""What Keras calls an input without a name, with or without a number behind it."""

Tensors = Mapping[str, "tf.Tensor"]


@dataclasses.dataclass(frozen=True)
class Input:
    """An input: its name in the signature, its shape with the batch, its dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs of a model, a function from their tensors by name to its outputs, and an example if one was given."""

    inputs: list[Input]
    call: Callable[[Tensors], Any]
    example: dict[str, Any] | None


def inputs_of(model: keras.Model, example: Mapping[str, Any] | Any = None) -> Inputs:
    """Returns the inputs of a model.

    Args:
        model: As in `ikelos.serving.keras_signature`.
        example: A batch of values for each input, by name, or for the only input; None for a functional model without.

    Raises:
        ValueError: If the model is not built, has an input that cannot be served, or the example does not fit.
    """
    # Subclassed models, and Sequential ones that were neither called nor given an input, have no `inputs`.
    found = _graph_inputs(model, example) if getattr(model, "inputs", None) else _called_inputs(model, example)
    for x in found.inputs:
        if x.dtype not in DTYPES:
            raise ValueError(
                f"`model` must have inputs of the dtypes {', '.join(DTYPES)}. Received: input {x.name!r} of {x.dtype}"
            )
    return found


def _graph_inputs(model: keras.Model, example: Any) -> Inputs:
    import keras

    names = [x.name for x in model.inputs]
    if len(names) == 1 and names[0].startswith(_UNNAMED):
        names = [_ONLY_INPUT]
    for name, x in zip(names, model.inputs, strict=True):
        if name.startswith(_UNNAMED) or not is_input_name(name):
            raise ValueError(
                f"`model` must have inputs with names that {INPUT_NAME}: keras.Input(..., name='pixels'). "
                f"Received: {name!r} among {names}"
            )
        # A request has no row lengths, so padding would count as data.
        if x.ragged:
            raise ValueError(
                "`model` must have dense inputs. Pad the rows, and let a mask or another input say how long they are. "
                f"Received: input {name!r} with ragged=True"
            )
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input

    def call(tensors):
        packed = keras.tree.pack_sequence_as(structure, [tensors[name] for name in names])
        return model(packed, training=False)

    inputs = [Input(name, tuple(x.shape), x.dtype) for name, x in zip(names, model.inputs, strict=True)]
    return Inputs(inputs, call, None if example is None else _by_name(example, names))


def _called_inputs(model: keras.Model, example: Any) -> Inputs:
    """Returns the inputs of a model of which Keras keeps only the shapes of its first call."""
    if not model.built:
        raise ValueError(
            "`model` must be functional, Sequential with a keras.Input, or have been called on a batch, so that its "
            f"inputs are known. Received: {model.name}, not built"
        )
    arguments = _tensor_arguments(model)
    required = [x.name for x in arguments if x.default is x.empty]
    if example is None:
        raise ValueError(
            "`example` must be a batch, or a dict with one for each input, for a subclassed model: Keras does not keep "
            f"the dtypes of its inputs. Received: example=None for {model.name}, called with {', '.join(required)}"
        )
    shapes = (model.get_build_config() or {}).get("input_shape")  # of the first argument; None if `build` has several
    if shapes and not all(map(_is_shape, shapes.values() if isinstance(shapes, dict) else [shapes])):
        raise ValueError(
            "`model` must be called on tensors, or on a dict of them whose keys are the names of the inputs. "
            f"Received: {model.name}, called on the shapes {shapes}"
        )
    options = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
    if isinstance(shapes, dict):
        batches = _by_name(example, list(shapes))
        return Inputs(_inputs_like(batches), lambda tensors: model(dict(tensors), **options), batches)
    if isinstance(example, Mapping) and set(example) != {_ONLY_INPUT}:
        batches = _by_name(example, [x.name for x in arguments if x.name in example or x.name in required])
        return Inputs(_inputs_like(batches), lambda tensors: model(**tensors, **options), batches)
    if len(required) > 1 or not shapes:
        raise ValueError(
            f"`example` must be a dict with a batch for each input, {required}, of a model that is called with several "
            f"arguments. Received: example={example!r}"
        )
    batches = _by_name(example, [_ONLY_INPUT])
    inputs = [dataclasses.replace(x, shape=(None, *shapes[1:])) for x in _inputs_like(batches)]
    return Inputs(inputs, lambda tensors: model(tensors[_ONLY_INPUT], **options), batches)


def _tensor_arguments(model: keras.Model) -> list[inspect.Parameter]:
    """Returns the arguments of a subclassed model that may be tensors."""
    parameters = inspect.signature(model.call).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [x for x in parameters if x.kind in kinds and x.name != "training"]


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list | tuple) and all(size is None or isinstance(size, int) for size in shape)


def _by_name(example: Any, names: list[str]) -> dict[str, Any]:
    """Returns the batches of an example by the names of the inputs."""
    if not isinstance(example, Mapping):
        example = {names[0]: example} if len(names) == 1 else {}
    if set(example) != set(names):
        raise ValueError(f"`example` must have a batch for each input, {names}. Received: {sorted(map(str, example))}")
    return {name: example[name] for name in names}


def _inputs_like(batches: Mapping[str, Any]) -> list[Input]:
    """Returns inputs of the shapes and dtypes of batches."""
    inputs = []
    for name, batch in batches.items():
        try:
            values = np.asarray(batch)
        except ValueError as error:  # lists of different lengths
            raise ValueError(f"`example` must have batches that are arrays. Received: {name}={batch!r}") from error
        inputs.append(Input(name, (None, *values.shape[1:]), _dtype(batch, values)))
    return inputs


def _dtype(batch: Any, values: np.ndarray) -> str:
    if values.dtype.kind in "OSU":
        return "string"
    # In place of NumPy's defaults, those of Keras: but an array or tensor of int64 may be meant.
    if values.dtype == np.float64:
        return "float32"
    return "int32" if values.dtype == np.int64 and not hasattr(batch, "dtype") else values.dtype.name

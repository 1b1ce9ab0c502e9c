"""Names of the outputs of a Keras model."""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_ONLY_OUTPUT = "outputs"
"""Name of an only output that has none."""

Path = tuple[str | int, ...]
"""The keys of dicts and the places in lists on the way to an output."""


def named_outputs(model: keras.Model, outputs: Any) -> dict[str, tf.Tensor]:
    """Returns the outputs of a model by name, also those of lists and dicts within each other.

    Where there are dicts, a name is made of the keys and places on the way to the output. Otherwise it is that of the
    layer of a functional model, or `output_` and the place.

    Raises:
        ValueError: If two outputs have the same name.
    """
    leaves = list(_leaves(outputs))
    layers = [x._keras_history.operation for x in getattr(model, "outputs", None) or []]
    if any(isinstance(key, str) for path, _ in leaves for key in path):
        names = [_path_name(path) for path, _ in leaves]
    elif len(leaves) == 1 and (not layers or _is_automatic(layers[0])):
        names = [_ONLY_OUTPUT]
    elif layers:
        names = _layer_names(layers)
    else:
        names = [_path_name(path) for path, _ in leaves]
    if len(set(names)) != len(names):
        raise ValueError(f"`model` must have outputs with different names. Received: {names}")
    return dict(zip(names, (tensor for _, tensor in leaves), strict=True))


def _leaves(outputs: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(outputs, Mapping):
        for key, inner in outputs.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(outputs, list | tuple):
        for place, inner in enumerate(outputs):
            yield from _leaves(inner, (*path, place))
    else:
        yield path, outputs


def _path_name(path: Path) -> str:
    name = "_".join(map(str, path))
    return name if isinstance(path[0], str) else f"output_{name}"


def _layer_names(layers: list[Any]) -> list[str]:
    """Returns the names of layers; those of a layer with several outputs, such as its state, also have numbers."""
    counts = collections.Counter(layer.name for layer in layers)
    taken = {name for name, count in counts.items() if count == 1}
    names = []
    for layer in layers:
        name = layer.name
        if counts[name] > 1:
            # The layer after `gru` may be called `gru_1`, and keeps its name.
            name = next(free for number in itertools.count() if (free := f"{name}_{number}") not in taken)
            taken.add(name)
        names.append(name)
    return names


def _is_automatic(layer: Any) -> bool:
    """Returns whether Keras named a layer after its class and the number of such layers in this process."""
    return re.sub(r"_\d+$", "", layer.name).replace("_", "") == type(layer).__name__.lower()

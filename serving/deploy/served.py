"""The models that a deployment serves, as their base paths hold them."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from ikelos.serving.card import read_card
from ikelos.serving.graph import PORTABLE
from ikelos.serving.incoming import newest
from ikelos.serving.protocol import messages

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")


@dataclasses.dataclass(frozen=True)
class Served:
    """Model that a server loads from a base path.

    Attributes:
        name: Name of the model in requests: letters, digits, `_`, `.` and `-`.
        base_path: Folder of its versions, with at least one.
        variable: The inputs of the newest version whose size varies beyond the batch, by signature. Only padding could
            merge them into batches.
        flavour: Its flavour, `portable` or `native`.
        batch_sizes: The sizes of batches with which it is warmed up, in increasing order; empty if it has no card.

    Raises:
        ValueError: If the name is invalid.
    """

    name: str
    base_path: pathlib.Path
    variable: Mapping[str, tuple[str, ...]]
    flavour: str = PORTABLE
    batch_sizes: tuple[int, ...] = ()

    def __post_init__(self):
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                "`name` must be up to 50 letters, digits, `_`, `.` and `-`, with a letter or digit first. "
                f"Received: name={self.name!r}"
            )


def find(name: str, base_path: str | os.PathLike) -> Served:
    """Returns the model in a base path.

    Args:
        name: Name of the model in requests.
        base_path: Folder with the versions `1`, `2`, ...

    Raises:
        ValueError: If the name is invalid, or the newest version is missing or no SavedModel.
        ExportError: If its card is damaged.
    """
    base = pathlib.Path(base_path).absolute()
    version = newest(base)
    if version is None:
        raise ValueError(f"`base_path` must be a folder with the versions 1, 2, ... Received: base_path={base_path}")
    variable, card = _variable_inputs(version), read_card(version)
    if card is None:
        return Served(name, base, variable)
    return Served(name, base, variable, card["flavour"], tuple(card["warmup_batch_sizes"]))


def _variable_inputs(version: pathlib.Path) -> dict[str, tuple[str, ...]]:
    found = {}
    for signature, definition in sorted(_signatures(version).items()):
        inputs = tuple(name for name, info in sorted(definition.inputs.items()) if _varies(info.tensor_shape))
        if inputs:
            found[signature] = inputs
    return found


def _signatures(version: pathlib.Path) -> Mapping[str, Any]:
    file = version / "saved_model.pb"
    try:
        graphs = messages.SavedModel.FromString(file.read_bytes()).meta_graphs
    except FileNotFoundError:
        raise ValueError(f"{version} must be a SavedModel. Received: a folder without saved_model.pb") from None
    except DecodeError:
        raise ValueError(f"{file} must be a SavedModel. Received: a file that is cut off or of another kind") from None
    served = [graph for graph in graphs if "serve" in graph.meta_info_def.tags]
    if not served:
        raise ValueError(f"{file} must have a graph with the tag `serve`. Received: {len(graphs)} graphs without")
    return served[0].signature_def


def _varies(shape: Any) -> bool:
    return shape.unknown_rank or any(dim.size < 0 for dim in shape.dim[1:])

"""The model card of a version, `assets.extra/ikelos_card.json`, and the same as a page, `ikelos_card.html`.

It says what the model does, what it was made from and how good it is, as far as the exporter was told, and what the
version holds: flavour, format of the weights, signatures with the bounds of their inputs, versions of packages, size
and hash of each file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import pathlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ikelos.serving.arguments import is_number, json_data, require
from ikelos.serving.card_page import page
from ikelos.serving.examples import EXTRA, foreign, json_of, read_examples
from ikelos.serving.signature import Signature

if TYPE_CHECKING:
    import tensorflow as tf

FILE = f"{EXTRA}/ikelos_card.json"
PAGE = f"{EXTRA}/ikelos_card.html"
"""Paths within a version."""
_PACKAGES = ("ikelos", "tensorflow", "keras", "tensorflow-text")
_METRIC = ("name", "unit", "value", "better", "others")
"""The keys of a metric."""


@dataclasses.dataclass(frozen=True)
class Card:
    """What an exporter says about a model. All of it is optional. Numbers and arrays may be NumPy's.

    Attributes:
        task: What the model does, in a few words.
        description: More about it, in any number of sentences.
        data: Facts about the training data by name, such as its source and its number of examples.
        licence: Licence of the model or of its data, in words.
        metrics: How good the model is: for each metric its `name`, `unit`, `value` and `better` (`less` or `more`),
            and `others`, the values of baselines and peers by name. All values are finite.
        provenance: JSON data about the origin of the version, for `read_provenance`.

    Raises:
        ValueError: If an attribute is not as above, or holds what JSON cannot write.
    """

    task: str = ""
    description: str = ""
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    licence: str = ""
    metrics: tuple[Mapping[str, Any], ...] = ()
    provenance: Mapping[str, Any] | None = None

    def __post_init__(self):
        for name in ("task", "description", "licence"):
            require(isinstance(getattr(self, name), str), name, "text", getattr(self, name))
        require(isinstance(self.data, Mapping), "data", "a dict of facts by name", self.data)
        is_dict = self.provenance is None or isinstance(self.provenance, Mapping)
        require(is_dict, "provenance", "a dict or None", self.provenance)
        require(isinstance(self.metrics, list | tuple), "metrics", "a tuple of dicts", self.metrics)
        for place, metric in enumerate(self.metrics):
            _check_metric(f"metrics[{place}]", metric)
        object.__setattr__(self, "data", json_data("data", self.data))
        object.__setattr__(self, "provenance", json_data("provenance", self.provenance))
        object.__setattr__(self, "metrics", tuple(json_data("metrics", self.metrics)))


def _check_metric(label: str, metric: Any) -> None:
    has_keys = isinstance(metric, Mapping) and set(metric) >= set(_METRIC)
    require(has_keys, label, f"a dict with the keys {', '.join(_METRIC)}", metric)
    for key in ("name", "unit"):
        require(isinstance(metric[key], str), f"{label}[{key!r}]", "text", metric[key])
    require(metric["better"] in ("less", "more"), f"{label}['better']", "'less' or 'more'", metric["better"])
    require(_is_finite(metric["value"]), f"{label}['value']", "a finite number", metric["value"])
    others = metric["others"]
    are_finite = isinstance(others, Mapping) and all(map(_is_finite, others.values()))
    require(are_finite, f"{label}['others']", "a dict of finite numbers by name", others)


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def write_card(
    version: pathlib.Path,
    card: Card,
    flavour: str,
    weights: Mapping[str, Any],
    signatures: Iterable[Signature],
    outputs: Mapping[str, Mapping[str, tf.TensorSpec]],
    warmup_batch_sizes: Sequence[int],
) -> None:
    """Writes the card into the folder of a version, all other files of which must have been written.

    Args:
        version: The folder.
        card: What the exporter says about the model.
        flavour: `portable` or `native`.
        weights: What it says about the weights, as `read_card` describes it.
        signatures: The signatures.
        outputs: The specifications of the outputs of each.
        warmup_batch_sizes: The numbers of rows of the warm-up requests.
    """
    content = {
        **dataclasses.asdict(card),
        "flavour": flavour,
        "weights": dict(weights),
        "warmup_batch_sizes": list(warmup_batch_sizes),
        "versions": _versions(),
        "signatures": {signature.name: _facts(signature, outputs[signature.name]) for signature in signatures},
        "files": {
            path.relative_to(version).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in sorted(version.rglob("*"))
            if path.is_file()
        },
    }
    (version / FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    (version / PAGE).write_text(page(content, read_examples(version)), encoding="utf-8")


def read_card(version: pathlib.Path) -> dict[str, Any] | None:
    """Returns the card of a version; None if it has none, because another program exported it.

    Returns:
        The attributes of `Card`; `flavour`; `weights`: the format in which they are `stored_as`, their `bytes` in it,
        their `float32_bytes`, and `changes`, for each output of each signature how far it differs on the example from
        that with float32 weights (`ikelos.serving.weights.changes`; none for `float32`); `warmup_batch_sizes`;
        `versions` of packages by name; `signatures`: for each its `doc`, its `max_rows`, its `inputs`, each with
        `dtype`, `shape` (null for any size) and `bounds` (`values`, `max_bytes`, `max_size`, those that there are), and
        its `outputs` in the same way without bounds; and `files`: `bytes` and `sha256` by path.

    Raises:
        ExportError: If the file is not the JSON of a card.
    """
    path = version / FILE
    if not path.is_file():
        return None
    card = json_of(path, ("flavour", "warmup_batch_sizes", "signatures", "files"))
    if not (_is_table(card["files"], "bytes", "sha256") and _is_table(card["signatures"], "inputs", "outputs")):
        raise foreign(path, "`files` or `signatures` of another form")
    return card


def _is_table(value: Any, *keys: str) -> bool:
    """Returns whether a value is an object of objects, each with some keys."""
    return isinstance(value, dict) and all(isinstance(x, dict) and set(keys) <= set(x) for x in value.values())


def bounds_of(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the `bounds` of each input by name, from what a card says about a signature.

    Args:
        facts: An entry of the card's `signatures`; empty if there is none. An input without `bounds` has none.
    """
    return {name: spec.get("bounds", {}) for name, spec in facts.get("inputs", {}).items()}


def read_provenance(version: pathlib.Path) -> dict[str, Any] | None:
    """Returns the `provenance` of the card that `ikelos.serving.export` was given, or None."""
    card = read_card(version)
    return None if card is None else card["provenance"]


def sha256(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _facts(signature: Signature, outputs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    bounds = {name: bound.facts() for name, bound in signature.bounds.items()}
    return {
        "doc": signature.doc,
        "max_rows": signature.max_rows,
        "inputs": {name: _spec(spec) | {"bounds": bounds.get(name, {})} for name, spec in signature.inputs.items()},
        "outputs": {name: _spec(outputs[name]) for name in sorted(outputs)},
    }


def _spec(spec: tf.TensorSpec) -> dict[str, Any]:
    return {"dtype": spec.dtype.name, "shape": None if spec.shape.rank is None else spec.shape.as_list()}

"""JSON Schemas (draft 2020-12) of the bodies of TensorFlow Serving's REST API, made from a model's signatures.

A schema cannot say everything that a server checks: lists within a value must have equal lengths, all inputs the same
number of rows, and the bytes of a text are not its characters. The descriptions say so.
"""

from collections.abc import Mapping
from typing import Any

import ml_dtypes

from ikelos.serving.bounds import text_of
from ikelos.serving.card import bounds_of
from ikelos.serving.protocol.metadata import Signatures
from ikelos.serving.protocol.rest import DEFAULT_SIGNATURE, Specs, holds_bytes
from ikelos.serving.values import DTYPES, is_float

Schema = dict[str, Any]
Facts = Mapping[str, Any]
"""What a model card says about a signature (`ikelos.serving.card.read_card`); empty if there is no card."""

_BASE64: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}

ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string", "minLength": 1}},
    "required": ["error"],
    "additionalProperties": False,
}
STATUS: Schema = {
    "type": "object",
    "properties": {
        "model_version_status": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "version": {"type": "string", "pattern": "^[0-9]+$"},
                    "state": {"enum": ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                    "status": {
                        "type": "object",
                        "properties": {"error_code": {"type": "string"}, "error_message": {"type": "string"}},
                        "required": ["error_code", "error_message"],
                    },
                },
                "required": ["version", "state", "status"],
            },
        }
    },
    "required": ["model_version_status"],
}
METADATA: Schema = {
    "type": "object",
    "properties": {
        "model_spec": {
            "type": "object",
            "properties": {key: {"type": "string"} for key in ("name", "signature_name", "version")},
            "required": ["name", "signature_name", "version"],
        },
        "metadata": {
            "type": "object",
            "properties": {
                "signature_def": {
                    "type": "object",
                    "properties": {"signature_def": {"type": "object", "additionalProperties": {"type": "object"}}},
                    "required": ["signature_def"],
                }
            },
            "required": ["signature_def"],
        },
    },
    "required": ["model_spec", "metadata"],
}


def request_schema(signatures: Signatures, facts: Mapping[str, Facts], max_rows: int) -> Schema:
    """Returns the schema of the body of a request to predict.

    Args:
        signatures: The signatures of the model.
        facts: What the model card says about each.
        max_rows: Most rows that the server takes.
    """
    forms = []
    for name, sides in signatures.items():
        known = facts.get(name, {})
        most = min(max_rows, known.get("max_rows") or max_rows)
        # A signature with a limit refuses an empty batch too.
        least = 1 if known.get("max_rows") else 0
        bounds = bounds_of(known)
        shapes = [shape for _, shape in sides["inputs"].values() if shape is not None]
        if all(shapes):
            row = _side(sides["inputs"], bounds, by_rows=True)
            fixed = [shape[0] for shape in shapes if shape[0] is not None]
            limits = {"minItems": max([1, *fixed]), "maxItems": min([most, *fixed])}
            forms.append(_form(name, "instances", {"type": "array", "items": row} | limits))
        forms.append(_form(name, "inputs", _side(sides["inputs"], bounds, by_rows=False, rows=(least, most))))
    return {"oneOf": forms}


def response_schema(signatures: Signatures) -> Schema:
    """Returns the schema of the body of a response to a request to predict."""
    forms = []
    for sides in signatures.values():
        for key, by_rows in (("predictions", True), ("outputs", False)):
            value = _answer(sides["outputs"], by_rows)
            values = {"type": "array", "items": value} if by_rows else value
            forms.append({"type": "object", "properties": {key: values}, "required": [key]})
    return {"anyOf": forms}


def _form(signature: str, key: str, values: Schema) -> Schema:
    is_default = signature == DEFAULT_SIGNATURE
    # An empty name is that of the default too.
    properties = {"signature_name": {"enum": [signature, ""]} if is_default else {"const": signature}, key: values}
    required = [key] if is_default else ["signature_name", key]
    other = {"instances": "inputs", "inputs": "instances"}[key]
    form = {"type": "object", "title": f"{signature}, by {key}", "properties": properties, "required": required}
    return form | {"not": {"required": [other]}}


def _side(specs: Specs, bounds: Mapping[str, Facts], by_rows: bool, rows: tuple[int, int] | None = None) -> Schema:
    """Returns the schema of all inputs: an object, or the value itself where there is only one."""
    tensors = {}
    for name, (dtype, shape) in specs.items():
        bound = bounds.get(name, {})
        value = _input_value(dtype, bound)
        # An empty list of lists has too few axes for the input.
        tensor = _nested(value, shape, by_rows, rows, bound.get("max_size"), fewest_lists=1)
        tensors[name] = tensor | {"description": ", ".join(filter(None, [dtype, text_of(bound, dtype)]))}
    named = {"type": "object", "properties": tensors, "required": list(tensors), "additionalProperties": False}
    return {"anyOf": [named, *tensors.values()]} if len(tensors) == 1 else named


def _answer(specs: Specs, by_rows: bool) -> Schema:
    tensors = {name: _nested(_output_value(name, dtype), shape, by_rows) for name, (dtype, shape) in specs.items()}
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    return {"type": "object", "properties": tensors, "required": list(tensors)}


def _nested(
    value: Schema,
    shape: tuple[int | None, ...] | None,
    by_rows: bool,
    rows: tuple[int, int] | None = None,
    max_size: int | None = None,
    fewest_lists: int = 0,
) -> Schema:
    """Returns the schema of a tensor, or of one row of it.

    Args:
        value: The schema of one value.
        shape: The tensor's shape; None for any.
        by_rows: Whether the schema is that of a row.
        rows: The fewest and the most rows; None for any number.
        max_size: Largest size of the other axes whose size is free; None for any.
        fewest_lists: Fewest items of a list that holds lists and whose size is free.
    """
    if shape is None:
        return {}
    schema = value
    for axis in reversed(range(1 if by_rows else 0, len(shape))):
        least, most = 0, max_size
        if axis == 0:
            least, most = rows or (0, None)
        if axis < len(shape) - 1:
            least = max(least, fewest_lists)
        if (size := shape[axis]) is not None:
            least = most = size
        limits = {"minItems": least or None, "maxItems": most}
        schema = {"type": "array", "items": schema} | {key: n for key, n in limits.items() if n is not None}
    return schema


def _input_value(dtype: str, bounds: Facts) -> Schema:
    if dtype == "string":
        if "max_bytes" not in bounds:
            return {"anyOf": [{"type": "string"}, _bytes()]}
        most = bounds["max_bytes"]
        # Each character has at least one byte, and four characters of base64 have at most three.
        return {"anyOf": [{"type": "string", "maxLength": most}, _bytes(maxLength=4 * -(-most // 3))]}
    schema = _output_value("", dtype)
    if "type" in schema and dtype != "bool":
        kind = DTYPES[dtype][1]
        info = ml_dtypes.finfo(kind) if is_float(kind) else ml_dtypes.iinfo(kind)
        # NumPy's integers are no JSON.
        low, high = (float(info.min), float(info.max)) if is_float(kind) else (int(info.min), int(info.max))
        least, most = bounds.get("values", (low, high))
        schema |= {"minimum": max(low, least), "maximum": min(high, most)}
    return schema


def _bytes(**limits: int) -> Schema:
    properties = {"b64": _BASE64 | limits}
    return {"type": "object", "properties": properties, "required": ["b64"], "additionalProperties": False}


def _output_value(name: str, dtype: str) -> Schema:
    if dtype == "string":
        return _bytes() if holds_bytes(name) else {"type": "string"}
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype not in DTYPES:
        return {}
    return {"type": "number" if is_float(DTYPES[dtype][1]) else "integer"}

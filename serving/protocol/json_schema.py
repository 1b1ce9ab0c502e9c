"""JSON Schemas (draft 2020-12) of the bodies of TensorFlow Serving's REST API, made from a model's signatures.

A schema cannot say everything that a server checks: lists within a value must have equal lengths, all inputs the same
number of rows, and the bytes of a text are not its characters. The descriptions say so.
"""

from collections.abc import Mapping
from typing import Any

import ml_dtypes

from ikelos.serving.bounds import text_of
from ikelos.serving.protocol.metadata import Signatures
from ikelos.serving.protocol.rest import DEFAULT_SIGNATURE, Specs, holds_bytes
from ikelos.serving.values import DTYPES, is_float

Schema = dict[str, Any]
Facts = Mapping[str, Any]
"""What a model card says about a signature (`ikelos.serving.card.read_card`); empty if there is no card."""

_BASE64 = {
    "type": "object",
    "properties": {
        "b64": {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        }
    },
    "required": ["b64"],
    "additionalProperties": False,
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
        bounds = {key: value["bounds"] for key, value in known.get("inputs", {}).items()}
        if all(shape is None or shape for _, shape in sides["inputs"].values()):
            row = _side(sides["inputs"], bounds, by_rows=True)
            forms.append(_form(name, "instances", {"type": "array", "items": row, "minItems": 1, "maxItems": most}))
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
    return {"type": "object", "title": f"{signature}, by {key}", "properties": properties, "required": required}


def _side(specs: Specs, bounds: Mapping[str, Facts], by_rows: bool, rows: tuple[int, int] | None = None) -> Schema:
    """Returns the schema of all inputs: an object, or the value itself where there is only one."""
    tensors = {}
    for name, (dtype, shape) in specs.items():
        bound = bounds.get(name, {})
        tensor = _nested(_input_value(dtype, bound), shape, by_rows, rows, bound.get("max_size"))
        tensors[name] = tensor | {"description": ", ".join(filter(None, [dtype, text_of(bound)]))}
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
) -> Schema:
    """Returns the schema of a tensor, or of one row of it.

    Args:
        value: The schema of one value.
        shape: The tensor's shape; None for any.
        by_rows: Whether the schema is that of a row.
        rows: The fewest and the most rows; None for any number.
        max_size: Largest size of the other axes whose size is free; None for any.
    """
    if shape is None:
        return {}
    schema = value
    for axis in reversed(range(1 if by_rows else 0, len(shape))):
        size = shape[axis]
        least, most = (size, size) if size is not None else (0, max_size) if axis else rows or (0, None)
        limits = {"minItems": least or None, "maxItems": most}
        schema = {"type": "array", "items": schema} | {key: n for key, n in limits.items() if n is not None}
    return schema


def _input_value(dtype: str, bounds: Facts) -> Schema:
    if dtype == "string":
        # Each character has at least one byte.
        text = {"type": "string"} | ({"maxLength": bounds["max_bytes"]} if "max_bytes" in bounds else {})
        return {"anyOf": [text, _BASE64]}
    schema = _output_value("", dtype)
    if "type" in schema and dtype != "bool":
        kind = DTYPES[dtype][1]
        info = ml_dtypes.finfo(kind) if is_float(kind) else ml_dtypes.iinfo(kind)
        # NumPy's integers are no JSON.
        low, high = (float(info.min), float(info.max)) if is_float(kind) else (int(info.min), int(info.max))
        least, most = bounds.get("values", (low, high))
        schema |= {"minimum": max(low, least), "maximum": min(high, most)}
    return schema


def _output_value(name: str, dtype: str) -> Schema:
    if dtype == "string":
        return _BASE64 if holds_bytes(name) else {"type": "string"}
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype not in DTYPES:
        return {}
    return {"type": "number" if is_float(DTYPES[dtype][1]) else "integer"}

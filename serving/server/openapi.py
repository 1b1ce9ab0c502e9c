"""The OpenAPI description of the server's REST API, made from the models that it serves."""

import importlib.metadata
from typing import Any

from ikelos.serving.protocol import rest
from ikelos.serving.protocol.json_schema import ERROR, METADATA, STATUS, request_schema, response_schema
from ikelos.serving.server.manager import Manager
from ikelos.serving.server.metadata import example_of
from ikelos.serving.server.settings import Settings
from ikelos.serving.server.versions import State, Version

PATH = "/openapi.json"
"""Path of the description. TensorFlow Serving has nothing there."""
_LONGEST_EXAMPLE = 10_000
"""Characters of an example in the description; a longer one is left out."""
_INTRODUCTION = """The REST API of TensorFlow Serving, for the models that this server has.

Lists within a value must have equal lengths, and all inputs the same number of rows. Bytes that are no text are an
object `{"b64": ...}`. `NaN`, `Infinity` and `-Infinity` are numbers, in requests and in answers. An input that a bound
refuses gets 400, with the input and the bound."""
_ERRORS = {
    "400": "The request is wrong.",
    "403": "A page of another site sent the request.",
    "404": "There is no such model or version.",
    "5XX": "The server failed.",
}
_POST_ERRORS = _ERRORS | {
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "429": "The server has too many requests.",
    "5XX": "The model or the server failed, or the time of the request is over.",
}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_NAME = {"type": "string", "minLength": 1}


def describe(manager: Manager, settings: Settings, metrics_path: str) -> dict[str, Any]:
    """Returns the description, of OpenAPI 3.1.

    The paths of predictions are those of the available versions, since each has its own signatures.

    Args:
        manager: The manager of the models.
        settings: The settings of the server.
        metrics_path: Path of the metrics.
    """
    paths = {}
    for place, keys in (("", ()), ("/versions/{version}", ("version",)), ("/labels/{label}", ("label",))):
        path = f"/v1/models/{{model}}{place}"
        paths[path] = _get("State of the versions", ("model", *keys), "Status")
        paths[f"{path}/metadata"] = _get("Signatures of a version", ("model", *keys), "Metadata")
    for name, known in sorted(manager.models.items()):
        available = {number: v for number, v in sorted(known.items()) if v.state is State.AVAILABLE}
        for number, version in available.items():
            predict = {"post": _predict(version, settings)}
            places = [rest.model_path(name, number)]
            places += [rest.model_path(name, label=label) for label in manager.labels_of(name, number)]
            places += [rest.model_path(name)] if number == max(available) else []
            paths |= {f"{place}:predict": predict for place in places}
    text = {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    errors = _error_answers({status: _ERRORS[status] for status in ("403", "5XX")})
    paths[metrics_path] = {"get": {"summary": "Metrics for Prometheus", "responses": {"200": text, **errors}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ikelos",
            "version": importlib.metadata.version("ikelos"),
            "description": _INTRODUCTION,
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": {"Error": ERROR, "Status": STATUS, "Metadata": METADATA}},
    }


def _get(summary: str, keys: tuple[str, ...], schema: str) -> dict[str, Any]:
    parameters = [
        {"name": key, "in": "path", "required": True, "schema": _NUMBER if key == "version" else _NAME} for key in keys
    ]
    responses = {"200": _answer("The answer.", _reference(schema)), **_error_answers(_ERRORS)}
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}


def _predict(version: Version, settings: Settings) -> dict[str, Any]:
    facts = version.card["signatures"] if version.card else {}
    schema = request_schema(version.signatures, facts, settings.max_rows)
    content = {"schema": schema, "examples": _examples(version)}
    return {
        "summary": f"Run a signature of {version.name}, version {version.number}",
        "description": f"The body has at most {settings.max_bytes:,} bytes.",
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": _answer("The answer.", response_schema(version.signatures)),
            **_error_answers(_POST_ERRORS),
        },
    }


def _examples(version: Version) -> dict[str, Any]:
    examples = {name: example_of(version, name, _LONGEST_EXAMPLE) for name in version.examples}
    return {
        name: {"summary": version.examples[name]["doc"], "value": {"signature_name": name, "inputs": inputs}}
        for name, inputs in examples.items()
        if inputs
    }


def _error_answers(errors: dict[str, str]) -> dict[str, Any]:
    return {status: _answer(text, _reference("Error")) for status, text in errors.items()}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}

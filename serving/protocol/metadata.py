"""What a server tells of a model: its signatures and the state of its versions, as messages, JSON and plain data."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from ikelos.serving.protocol.messages import (
    POOL,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    SignatureDefMap,
)
from ikelos.serving.protocol.tensors import dtype_name, from_shape_proto

SIGNATURES_FIELD = "signature_def"
"""The only `metadata_field` that TensorFlow Serving knows."""

Signatures = dict[str, dict[str, dict[str, tuple[str, tuple[int | None, ...] | None]]]]
"""`{name: {"inputs": {name: (dtype, shape)}, "outputs": {name: (dtype, shape)}}}`, as in `StockModel.signatures`."""


def read_signatures(definitions: Mapping[str, Any]) -> Signatures:
    """Returns the signatures of a map of SignatureDef messages, without TensorFlow's own (initialisation)."""
    return {
        name: {
            # Sorted by name, because their order in a message is arbitrary.
            side: {
                key: (dtype_name(info.dtype), from_shape_proto(info.tensor_shape))
                for key, info in sorted(getattr(definition, side).items())
            }
            for side in ("inputs", "outputs")
        }
        for name, definition in sorted(definitions.items())
        if not name.startswith("__saved_model")
    }


def unpack_signatures(response: GetModelMetadataResponse) -> SignatureDefMap:
    """Returns the signatures in a response.

    Raises:
        ValueError: If the response has none.
    """
    definitions = SignatureDefMap()
    if not response.metadata[SIGNATURES_FIELD].Unpack(definitions):
        raise ValueError(f"The response must have the metadata `{SIGNATURES_FIELD}`. Received: {response}")
    return definitions


def write_metadata(response: GetModelMetadataResponse) -> bytes:
    """Returns the body of a response with a model's metadata."""
    content = {
        "model_spec": _to_dict(response.model_spec),
        "metadata": {SIGNATURES_FIELD: _to_dict(unpack_signatures(response))},
    }
    return _write(content)


def read_metadata(body: bytes) -> GetModelMetadataResponse:
    """Returns a model's metadata from the body of a response.

    Raises:
        ValueError: If the body is not such a response.
    """
    content = _read(body)
    response, definitions = GetModelMetadataResponse(), SignatureDefMap()
    try:
        json_format.ParseDict(content["model_spec"], response.model_spec, ignore_unknown_fields=True)
        json_format.ParseDict(content["metadata"][SIGNATURES_FIELD], definitions, ignore_unknown_fields=True)
    except (KeyError, TypeError, json_format.ParseError) as error:
        raise ValueError(f"The body must be the metadata of a model. Received: {error}") from None
    response.metadata[SIGNATURES_FIELD].Pack(definitions)
    return response


def write_status(response: GetModelStatusResponse) -> bytes:
    """Returns the body of a response with the state of a model's versions."""
    return _write(_to_dict(response))


def read_status(body: bytes) -> GetModelStatusResponse:
    """Returns the state of a model's versions from the body of a response.

    Raises:
        ValueError: If the body is not such a response.
    """
    try:
        return json_format.ParseDict(_read(body), GetModelStatusResponse(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ValueError(f"The body must be the status of a model. Received: {error}") from None


def _to_dict(message: Any) -> dict:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=POOL,
    )


def _write(content: dict) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _read(body: bytes) -> dict:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The body must be JSON. Received: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"The body must be a JSON object. Received: {str(content)[:100]}")
    return content

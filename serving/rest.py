"""Text and bytes in TensorFlow Serving's REST API: a string tensor holds any bytes, JSON only text.

https://www.tensorflow.org/tfx/serving/api_rest#encoding_binary_values
"""

import base64
from collections.abc import Callable
from typing import Any


def holds_bytes(name: str) -> bool:
    """Whether an input or output holds bytes that are not text, which TensorFlow Serving infers from its name."""
    return name.endswith("_bytes")


def to_request(value: Any) -> Any:
    """Nested lists in the form of a request: text as it is, other bytes as `{"b64": ...}`."""
    return _to_json(value, _text_or_base64)


def to_response(name: str, value: Any) -> Any:
    """Nested lists in the form of a response: bytes of the output `name` as text or, by `holds_bytes`, `{"b64": ...}`.

    Bytes that are not UTF-8 become U+FFFD in text.
    """
    return _to_json(value, _base64 if holds_bytes(name) else _text)


def from_json(value: Any) -> Any:
    """Nested lists of JSON with `{"b64": ...}` as bytes.

    Raises:
        ValueError: If an object is anything else.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f'an object must be {{"b64": "..."}} in base64. Received: {value}') from None


def _to_json(value: Any, convert: Callable[[bytes], str | dict]) -> Any:
    if isinstance(value, list):
        return [_to_json(item, convert) for item in value]
    return convert(value) if isinstance(value, bytes) else value


def _text_or_base64(value: bytes) -> str | dict:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _base64(value)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _base64(value: bytes) -> dict:
    return {"b64": base64.b64encode(value).decode()}

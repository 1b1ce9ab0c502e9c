"""Text and bytes in TensorFlow Serving's REST API: string tensors hold any bytes, but JSON only text.

https://www.tensorflow.org/tfx/serving/api_rest#encoding_binary_values
"""

import base64
from collections.abc import Callable
from typing import Any


def holds_bytes(name: str) -> bool:
    """Returns whether an input or output holds bytes that are not text; TensorFlow Serving tells this from the name."""
    return name.endswith("_bytes")


def to_request(value: Any) -> Any:
    """Converts nested lists to the form of a request: text becomes a string, other bytes `{"b64": ...}`."""
    return _to_json(value, _text_or_base64)


def to_response(name: str, value: Any) -> Any:
    """Converts nested lists of the output `name` to the form of a response.

    Bytes become `{"b64": ...}` if the output `holds_bytes`, otherwise text, in which U+FFFD replaces invalid UTF-8.
    """
    return _to_json(value, _base64 if holds_bytes(name) else _text)


def from_json(value: Any) -> Any:
    """Returns a value from JSON, with bytes in place of each object `{"b64": ...}` in it or in its nested lists.

    Raises:
        ValueError: If an object has no text in valid base64 under the key `b64`.
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

"""Text and other bytes in TensorFlow Serving's REST API: JSON has text alone, a string tensor holds either.

https://www.tensorflow.org/tfx/serving/api_rest#encoding_binary_values
"""

import base64
from collections.abc import Callable
from typing import Any


def holds_bytes(name: str) -> bool:
    """Whether an input or output holds bytes that are not text: TensorFlow Serving goes by its name."""
    return name.endswith("_bytes")


def to_request(value: Any) -> Any:
    """Nested lists as a request takes them, under any name: text as it is, other bytes as `{"b64": ...}`."""
    return _to_json(value, _text_if_it_is)


def to_response(name: str, value: Any) -> Any:
    """Nested lists as a response gives the output `name`: its bytes are text, or `{"b64": ...}` by `holds_bytes`.

    In text, what is not UTF-8 becomes U+FFFD.
    """
    return _to_json(value, _base64 if holds_bytes(name) else _text)


def from_json(value: Any) -> Any:
    """Nested lists of JSON with `{"b64": ...}` as bytes.

    Raises:
        ValueError: an object is something else.
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


def _text_if_it_is(value: bytes) -> str | dict:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _base64(value)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _base64(value: bytes) -> dict:
    return {"b64": base64.b64encode(value).decode()}

"""The bodies of TensorFlow Serving's REST API: requests, responses and errors as JSON.

String tensors hold any bytes, but JSON only text, so bytes are `{"b64": ...}` where they are not text. NaN and the
infinities are written as `NaN`, `Infinity` and `-Infinity`, which TensorFlow Serving reads and writes too.
https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import dataclasses
import json
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ikelos.serving.values import is_float, to_array

Specs = Mapping[str, tuple[str, tuple[int | None, ...] | None]]
"""Dtype and shape of each input or output of a signature, by name."""

DEFAULT_SIGNATURE = "serving_default"

STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""HTTP status for each of gRPC's status codes."""


@dataclasses.dataclass(frozen=True)
class PredictBody:
    """Body of a request to predict.

    Attributes:
        signature: Name of the signature; `serving_default` if the body names none.
        by_rows: Whether the inputs are given row by row (`instances`), and the outputs are expected so.
        values: The value of `instances` or `inputs`.
    """

    signature: str
    by_rows: bool
    values: Any

    def arrays(self, specs: Specs) -> dict[str, np.ndarray]:
        """Returns an array for each input of the signature.

        Raises:
            ValueError: If the values do not fit `specs`; the message names the input.
        """
        try:
            columns = _columns(self.values, specs) if self.by_rows else _named(self.values, specs)
            if set(columns) != set(specs):
                raise ValueError(f"The inputs must be {sorted(specs)}. Received: {sorted(columns)}")
            return {name: _array(f"input {name!r}", columns[name], *specs[name]) for name in specs}
        except RecursionError:
            raise ValueError("The lists must not be nested so deeply") from None


def read_predict(body: bytes) -> PredictBody:
    """Returns a request to predict from its body.

    Raises:
        ValueError: If the body is not a JSON object with either `instances` or `inputs`.
    """
    content = _read_object(body, "strict")
    signature = content.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(signature, str):
        raise ValueError(f"`signature_name` must be a string. Received: {_short(signature)}")
    given = [key for key in ("instances", "inputs") if key in content]
    if len(given) != 1:
        raise ValueError(f"The request must have either `instances` or `inputs`. Received: {sorted(content)}")
    values = content[given[0]]
    if given == ["instances"] and not (isinstance(values, list) and values):
        raise ValueError(f"`instances` must be a list with at least one row. Received: {_short(values)}")
    return PredictBody(signature or DEFAULT_SIGNATURE, given == ["instances"], values)


def write_predict(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """Returns the body of a request to predict, with the inputs column by column."""
    values = {name: to_request(to_lists(array)) for name, array in inputs.items()}
    return _write({"signature_name": signature, "inputs": values})


def write_predictions(outputs: Mapping[str, np.ndarray], by_rows: bool) -> bytes:
    """Returns the body of the response to a request to predict.

    As in TensorFlow Serving, text is written as it is, so the body is no JSON if text is not UTF-8.

    Args:
        outputs: The outputs by name.
        by_rows: Whether the request gave its inputs row by row (`PredictBody.by_rows`).

    Raises:
        ValueError: If the outputs are to be given row by row but differ in their number of rows.
    """
    values = {name: to_response(name, to_lists(array), "surrogateescape") for name, array in outputs.items()}
    if not by_rows:
        return _write({"outputs": values if len(values) > 1 else next(iter(values.values()))}, "surrogateescape")
    rows = {name: array.shape[:1] for name, array in outputs.items()}
    if len(set(rows.values())) != 1 or () in rows.values():
        shapes = {name: array.shape for name, array in outputs.items()}
        raise ValueError(f"With `instances`, the outputs must have the same number of rows. Received: {shapes}")
    if len(values) == 1:
        return _write({"predictions": next(iter(values.values()))}, "surrogateescape")
    by_row = zip(*values.values(), strict=True)
    return _write({"predictions": [dict(zip(values, row, strict=True)) for row in by_row]}, "surrogateescape")


def read_predictions(body: bytes, specs: Specs) -> dict[str, np.ndarray]:
    """Returns the outputs from the body of a response to a request column by column (`write_predict`).

    Text may be any bytes, though JSON must be UTF-8: TensorFlow Serving writes the bytes of an output as they are.

    Raises:
        ValueError: If the body is not such a response, or its outputs do not fit `specs`.
    """
    content = _read_object(body, "surrogateescape")
    if "outputs" not in content:
        raise ValueError(f"The response must have `outputs`. Received: {_short(content)}")
    values = _named(content["outputs"], specs)
    missing = sorted(set(specs) - set(values))
    if missing:
        raise ValueError(f"The response must have the outputs {sorted(specs)}. Missing: {missing}")
    return {name: _output(name, values[name], *spec) for name, spec in specs.items()}


def write_error(message: str) -> bytes:
    """Returns the body of a response that reports an error."""
    return _write({"error": message}, "backslashreplace")


def read_error(body: bytes) -> str:
    """Returns the message of a response that reports an error, or the beginning of a body that is of another kind."""
    try:
        return str(_read_object(body, "replace")["error"])
    except (ValueError, KeyError):
        return body[:1000].decode(errors="replace").strip()


def model_path(model: str, version: int | None = None, label: str | None = None) -> str:
    """Returns the path of a model in the URL, without a verb, such as `/v1/models/lm/versions/3`."""
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
    if version is not None:
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{urllib.parse.quote(label, safe='')}"


def holds_bytes(name: str) -> bool:
    """Returns whether an input or output holds bytes that are not text; TensorFlow Serving tells this from the name."""
    return name.endswith("_bytes")


def to_lists(array: np.ndarray) -> Any:
    """Returns an array as nested lists, with the fewest digits that give each float back in its dtype."""
    if not is_float(array.dtype) or array.dtype == np.float64:
        return array.tolist()
    # NumPy prints a float32 with as many digits as it needs; as a float64, Python prints these digits.
    return array.astype(np.float32).astype("U32").astype(np.float64).tolist()


def to_request(value: Any) -> Any:
    """Converts nested lists to the form of a request: text becomes a string, other bytes `{"b64": ...}`."""
    return _to_json(value, _text_or_base64)


def to_response(name: str, value: Any, errors: str = "replace") -> Any:
    """Converts nested lists of the output `name` to the form of a response.

    Bytes become `{"b64": ...}` if the output `holds_bytes`, otherwise text; `errors` says what becomes of those that
    are not UTF-8, as in `bytes.decode`.
    """
    return _to_json(value, _base64 if holds_bytes(name) else lambda text: text.decode(errors=errors))


def from_json(value: Any) -> Any:
    """Returns a value from JSON, with bytes in place of each object `{"b64": ...}` in it or in its nested lists.

    Raises:
        ValueError: If an object has anything but text in valid base64 under the key `b64`.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        if _is_base64(value):
            return base64.b64decode(value["b64"], validate=True)
    except ValueError:
        pass
    raise ValueError(f'an object must be {{"b64": "..."}} in base64. Received: {_short(value)}')


def _write(content: Any, errors: str = "strict") -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors=errors)


def _read_object(body: bytes, errors: str) -> dict[str, Any]:
    try:
        content = json.loads(body.decode(errors=errors))
    except RecursionError:
        raise ValueError("The body must be JSON. Received: lists that are nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"The body must be JSON. Received: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"The body must be a JSON object. Received: {_short(content)}")
    return content


def _is_base64(value: Any) -> bool:
    """Returns whether a value is an object of bytes, as far as its keys tell."""
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _named(values: Any, specs: Specs) -> dict[str, Any]:
    """Returns values by name: as they are, or a single value without a name under that of the only input or output."""
    if isinstance(values, dict) and not _is_base64(values):
        return values
    if len(specs) != 1:
        raise ValueError(f"The values must be an object with the keys {sorted(specs)}. Received: {_short(values)}")
    return {next(iter(specs)): values}


def _columns(rows: list, specs: Specs) -> dict[str, list]:
    """Returns the values of `instances` by input."""
    columns: dict[str, list] = {name: [] for name in specs}
    for number, row in enumerate(rows, 1):
        named = _named(row, specs)
        if set(named) != set(specs):
            raise ValueError(f"Row {number} must have the inputs {sorted(specs)}. Received: {sorted(named)}")
        for name, value in named.items():
            columns[name].append(value)
    return columns


def _output(name: str, value: Any, dtype: str, shape: tuple[int | None, ...] | None) -> np.ndarray:
    label = f"output {name!r}"
    array = _array(label, _unescaped(value) if dtype == "string" else value, dtype, None)
    if array.size == 0 and shape is not None:
        # An empty list says nothing of the axes within.
        array = array.reshape(array.shape + tuple(size or 0 for size in shape[array.ndim :]))
    return to_array(label, array, dtype, shape)


def _array(label: str, value: Any, dtype: str, shape: tuple[int | None, ...] | None) -> np.ndarray:
    try:
        value = from_json(value)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
    return to_array(label, value, dtype, shape)


def _unescaped(value: Any) -> Any:
    """Returns a value from JSON with bytes in place of text, in which surrogates stand for bytes that are not UTF-8."""
    if isinstance(value, list):
        return [_unescaped(item) for item in value]
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value


def _to_json(value: Any, convert: Callable[[bytes], str | dict]) -> Any:
    if isinstance(value, list):
        return [_to_json(item, convert) for item in value]
    return convert(value) if isinstance(value, bytes) else value


def _text_or_base64(value: bytes) -> str | dict:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _base64(value)


def _base64(value: bytes) -> dict:
    return {"b64": base64.b64encode(value).decode()}


def _short(value: Any) -> str:
    """Returns a value for a message, cut to a line."""
    text = str(value)
    return text if len(text) <= 100 else text[:97] + "..."

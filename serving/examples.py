"""The files in an exported version with an example of every signature and the outputs that Python gave for it.

Both files are JSON in `assets.extra/`, the folder of a SavedModel that TensorFlow leaves to other tools.
"""

import base64
import json
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from ikelos.serving.capi import ExportError
from ikelos.serving.protocol.rest import from_json, to_lists, to_request
from ikelos.serving.signature import Signature
from ikelos.serving.values import DTYPES

EXTRA = "assets.extra"
_EXAMPLES, _EXPECTED = "ikelos_examples.json", "ikelos_expected.json"

Outputs = dict[str, dict[str, np.ndarray]]  # signature -> output -> array


def write_examples(version: pathlib.Path, signatures: Iterable[Signature], expected: Outputs) -> None:
    """Writes the examples and the expected outputs into the folder of a version.

    The examples are `{signature: {"doc": ..., "inputs": {...}}}`, with the inputs in the form of TensorFlow Serving's
    REST API: text as a string, other bytes as `{"b64": ...}`.
    """
    examples = {
        signature.name: {
            "doc": signature.doc,
            "inputs": {name: to_request(to_lists(array)) for name, array in signature.example_arrays().items()},
        }
        for signature in signatures
    }
    packed = {name: {output: _pack(array) for output, array in outputs.items()} for name, outputs in expected.items()}
    folder = version / EXTRA
    folder.mkdir(exist_ok=True)
    (folder / _EXAMPLES).write_text(json.dumps(examples, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / _EXPECTED).write_text(json.dumps(packed), encoding="utf-8")


def read_examples(version: pathlib.Path) -> dict[str, dict]:
    """Returns the examples of a version: `{signature: {"doc": str, "inputs": {input: nested lists}}}`.

    Raises:
        FileNotFoundError: If the version was not written by `ikelos.serving.export`.
        ExportError: If the file has other content.
    """
    path = version / EXTRA / _EXAMPLES
    examples = json_of(path)
    try:
        for example in examples.values():
            example["inputs"] = {name: from_json(value) for name, value in example["inputs"].items()}
            example["doc"] = str(example["doc"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise foreign(path, error) from error
    return examples


def read_expected(version: pathlib.Path) -> Outputs:
    """Returns the outputs that Python gave for the examples, bit for bit.

    Raises:
        FileNotFoundError: If the version was not written by `ikelos.serving.export`.
        ExportError: If the file has other content.
    """
    path = version / EXTRA / _EXPECTED
    expected = json_of(path)
    try:
        return {
            name: {output: _unpack(packed) for output, packed in outputs.items()} for name, outputs in expected.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise foreign(path, error) from error


def json_of(path: pathlib.Path, keys: Iterable[str] = ()) -> dict[str, Any]:
    """Returns the object in a JSON file, which must have some keys.

    Raises:
        FileNotFoundError: If there is no such file.
        ExportError: If the file has other content.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise foreign(path, error) from error
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing or not isinstance(content, dict):
        raise foreign(path, f"no {', '.join(missing) or 'object'}")
    return content


def foreign(path: pathlib.Path, why: object) -> ExportError:
    """Returns the error for a file that the exporter did not write."""
    return ExportError(
        f"{path} must be as ikelos.serving.export wrote it. Export the model again, or delete the folder {EXTRA} to "
        f"use the model without its examples. Received: {why!s}"
    )


def _pack(array: np.ndarray) -> dict:
    """Converts an array to JSON data without loss; strings are an object array of bytes."""
    if array.dtype == object:
        return {
            "dtype": "string",
            "shape": array.shape,
            "base64": [_base64(text) for text in array.flat],
        }
    return {"dtype": array.dtype.name, "shape": array.shape, "base64": _base64(array.tobytes())}


def _unpack(packed: dict) -> np.ndarray:
    if packed["dtype"] == "string":
        array = np.empty(len(packed["base64"]), dtype=object)
        array[:] = [base64.b64decode(text) for text in packed["base64"]]
    else:
        array = np.frombuffer(base64.b64decode(packed["base64"]), DTYPES[packed["dtype"]][1])
    return array.reshape(packed["shape"])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

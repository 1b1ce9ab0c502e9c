"""The warm-up requests of a version: no user should wait while TensorFlow optimises the graph of a signature."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ikelos.serving.examples import EXTRA
from ikelos.serving.protocol import messages, rest, tensors

_FILE = f"{EXTRA}/tf_serving_warmup_requests"
_MOST_REQUESTS = 1000
"""As in TensorFlow Serving."""
_HEADER, _CHECKSUM = struct.Struct("<Q4x"), 4
"""The length of a TFRecord and its checksum; the checksum behind the content."""


def warm_up_requests(path: Path, examples: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the signature and the inputs of each warm-up request of a version or, if it has none, of each example.

    Args:
        path: Folder of the version.
        examples: Its examples, as `read_examples`.

    Raises:
        ValueError: If the file of the requests is damaged.
    """
    if (path / _FILE).is_file():
        yield from _requests(path / _FILE)
    else:
        for signature, example in examples.items():
            yield signature, example["inputs"]


def _requests(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, record in enumerate(_records(file), 1):
        if number > _MOST_REQUESTS:
            raise ValueError(f"{file} must have at most {_MOST_REQUESTS} records")
        try:
            log = messages.PredictionLog.FromString(record)
        except DecodeError as error:
            raise ValueError(f"{file} must have a PredictionLog in each record. Received: record {number}") from error
        if not log.HasField("predict_log"):
            continue  # Classify and the others, which this server does not have
        request = log.predict_log.request
        label = f"{file}, record {number}: input"
        yield (
            request.model_spec.signature_name or rest.DEFAULT_SIGNATURE,
            {name: tensors.from_tensor_proto(f"{label} {name!r}", tensor) for name, tensor in request.inputs.items()},
        )


def _records(file: Path) -> Iterator[bytes]:
    """Yields the contents of TFRecords. The checksums are not compared: a wrong request would only warm up less."""
    data = file.read_bytes()
    position = 0
    while position < len(data):
        start = position + _HEADER.size
        length = _HEADER.unpack_from(data, position)[0] if start <= len(data) else len(data)
        position = start + length + _CHECKSUM
        if position > len(data):
            raise ValueError(f"{file} must have complete TFRecords. Received: the last one is cut off")
        yield data[start : start + length]

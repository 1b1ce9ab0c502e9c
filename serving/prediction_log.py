"""Requests as TensorFlow Serving logs them: TFRecords of its message PredictionLog."""

import pathlib
from collections.abc import Iterator

import numpy as np
from google.protobuf.message import DecodeError

from ikelos.serving.protocol.messages import PredictionLog
from ikelos.serving.protocol.tensors import from_tensor_proto

_HEADER_BYTES = 12
"""Bytes before the content of a TFRecord, its length and the checksum of the length: a shorter file is none."""


def requests(path: pathlib.Path) -> Iterator[dict[str, np.ndarray]]:
    """Yields the inputs of each request in a file, by name; strings are object arrays of bytes.

    If the last record is cut off, it is left out, because a server may be writing it.

    Raises:
        ValueError: If the file has other records than those of predictions, or is damaged.
    """
    import tensorflow as tf

    # TensorFlow takes these bytes for the end of the file.
    if 0 < path.stat().st_size < _HEADER_BYTES:
        raise ValueError(f"{path} must have undamaged TFRecords. Received: a damaged record 1")
    number = 1
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            if not request.ByteSize():
                raise ValueError("it is of another kind")
            yield {name: from_tensor_proto(f"input {name!r}", tensor) for name, tensor in request.inputs.items()}
            number += 1
    except tf.errors.DataLossError as error:
        if "truncated record" not in error.message:
            raise ValueError(f"{path} must have undamaged TFRecords. Received: a damaged record {number}") from error
    except (ValueError, DecodeError) as error:
        raise ValueError(
            f"{path} must have a PredictionLog with a `predict_log` in each record. Received: record {number} ({error})"
        ) from error

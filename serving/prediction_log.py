"""Requests as TensorFlow Serving logs them: TFRecords of its message PredictionLog.

The nested messages are encoded and decoded by hand, because their classes are in the package tensorflow-serving-api,
which pins TensorFlow.
"""

import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from ikelos.serving.wire import Message, write_bytes, write_map

# Field numbers of tensorflow_serving/apis/{prediction_log,predict,model}.proto.
_LOG_PREDICT, _PREDICT_REQUEST = 6, 1
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2
_MODEL_SIGNATURE = 3
_HEADER_BYTES = 12
"""Bytes before the content of a TFRecord, its length and the checksum of the length: a shorter file is none."""


def encode(signature: str, inputs: Mapping[str, bytes]) -> bytes:
    """Returns the PredictionLog of a request.

    Args:
        signature: Name of the signature.
        inputs: A serialized TensorProto for each input.
    """
    request = write_bytes(_REQUEST_MODEL, write_bytes(_MODEL_SIGNATURE, signature))
    request += write_map(_REQUEST_INPUTS, dict(inputs))
    return write_bytes(_LOG_PREDICT, write_bytes(_PREDICT_REQUEST, request))


def requests(path: pathlib.Path) -> Iterator[dict[str, np.ndarray]]:
    """Yields the inputs of each request in a file, by name; strings are object arrays of bytes.

    If the last record is cut off, it is left out, because a server may be writing it.

    Raises:
        ValueError: If the file has other records than those of predictions, or is damaged.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    # TensorFlow takes these bytes for the end of the file.
    if 0 < path.stat().st_size < _HEADER_BYTES:
        raise ValueError(f"{path} must have undamaged TFRecords. Received: a damaged record 1")
    number = 1
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            request = Message(Message(record).payload(_LOG_PREDICT)).payload(_PREDICT_REQUEST)
            if not request:
                raise ValueError("it is of another kind")
            tensors = Message(request).map(_REQUEST_INPUTS)
            yield {name: tf.make_ndarray(_tensor(content)) for name, content in tensors.items()}
            number += 1
    except tf.errors.DataLossError as error:
        if "truncated record" not in error.message:
            raise ValueError(f"{path} must have undamaged TFRecords. Received: a damaged record {number}") from error
    except (ValueError, TypeError, DecodeError) as error:
        raise ValueError(
            f"{path} must have a PredictionLog with a `predict_log` in each record. Received: record {number} ({error})"
        ) from error


def _tensor(content: bytes):
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto.FromString(content)

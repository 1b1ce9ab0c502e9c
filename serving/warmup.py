"""Warm-up requests, which TensorFlow Serving runs on a version of a model before it sends users' requests to it."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ikelos.serving.batches import of_size
from ikelos.serving.examples import EXTRA
from ikelos.serving.protocol.messages import PredictionLog
from ikelos.serving.protocol.tensors import to_tensor_proto
from ikelos.serving.signature import Signature

BATCH_SIZES = (1, 8)
"""Batch sizes of the requests if nothing else is said: a single row, and a batch that uses several cores."""


def write_warmup(version: pathlib.Path, signatures: Iterable[Signature], batch_sizes: Sequence[int]) -> None:
    """Writes requests with the rows of the examples as PredictionLog records.

    They stand in `assets.extra/tf_serving_warmup_requests`, one for each signature and batch size, but none above the
    signature's `max_rows`. The format is described at https://www.tensorflow.org/tfx/serving/saved_model_warmup.
    """
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(version / EXTRA / "tf_serving_warmup_requests")) as writer:
        for signature in signatures:
            for rows in batch_sizes:
                if signature.max_rows is None or rows <= signature.max_rows:
                    arrays = of_size(signature.example_arrays(), rows)
                    writer.write(_prediction_log(signature.name, arrays).SerializeToString())


def _prediction_log(name: str, arrays: Mapping[str, np.ndarray]) -> PredictionLog:
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = name
    for input_name, array in arrays.items():
        request.inputs[input_name].CopyFrom(to_tensor_proto(array))
    return log

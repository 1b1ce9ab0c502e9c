"""Warm-up requests, which TensorFlow Serving runs on a version of a model before it sends users' requests to it."""

import pathlib
from collections.abc import Iterable

from ikelos.serving.examples import EXTRA
from ikelos.serving.protocol.messages import PredictionLog
from ikelos.serving.protocol.tensors import to_tensor_proto
from ikelos.serving.signature import Signature


def write_warmup(version: pathlib.Path, signatures: Iterable[Signature]) -> None:
    """Writes the example of every signature as a PredictionLog record into `assets.extra/tf_serving_warmup_requests`.

    The format is described at https://www.tensorflow.org/tfx/serving/saved_model_warmup.
    """
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(version / EXTRA / "tf_serving_warmup_requests")) as writer:
        for signature in signatures:
            writer.write(_prediction_log(signature).SerializeToString())


def _prediction_log(signature: Signature) -> PredictionLog:
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature.name
    for name, array in signature.example_arrays().items():
        request.inputs[name].CopyFrom(to_tensor_proto(array))
    return log

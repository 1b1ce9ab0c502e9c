"""Warm-up requests, which TensorFlow Serving runs on a version of a model before it sends users' requests to it."""

import pathlib
from collections.abc import Iterable

from ikelos.serving.examples import EXTRA
from ikelos.serving.signature import Signature
from ikelos.serving.wire import write_bytes, write_map

# Field numbers of tensorflow_serving/apis/{prediction_log,predict,model}.proto.
_LOG_PREDICT, _PREDICT_REQUEST = 6, 1
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2
_MODEL_SIGNATURE = 3


def write_warmup(version: pathlib.Path, signatures: Iterable[Signature]) -> None:
    """Writes the example of every signature as a PredictionLog record into `assets.extra/tf_serving_warmup_requests`.

    The format is described at https://www.tensorflow.org/tfx/serving/saved_model_warmup. The four nested fields are
    encoded by hand, because their message classes are in the package tensorflow-serving-api, which pins TensorFlow.
    """
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(version / EXTRA / "tf_serving_warmup_requests")) as writer:
        for signature in signatures:
            writer.write(_prediction_log(signature))


def _prediction_log(signature: Signature) -> bytes:
    import tensorflow as tf

    tensors = {
        name: tf.make_tensor_proto(array, dtype=signature.inputs[name].dtype).SerializeToString()
        for name, array in signature.example_arrays().items()
    }
    model = write_bytes(_MODEL_SIGNATURE, signature.name)
    request = write_bytes(_REQUEST_MODEL, model) + write_map(_REQUEST_INPUTS, tensors)
    return write_bytes(_LOG_PREDICT, write_bytes(_PREDICT_REQUEST, request))

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog


def test_a_request_for_every_signature(version, signatures):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert len(records) == len(signatures)
    for record, signature in zip(records, signatures, strict=True):
        request = PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.signature_name == signature.name
        tensors = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        arrays = signature.example_arrays()
        assert set(tensors) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(tensors[name], array)

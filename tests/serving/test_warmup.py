import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2


def test_a_request_for_every_signature(version, signatures, prediction_log_class):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert len(records) == len(signatures)
    for record, signature in zip(records, signatures, strict=True):
        request = prediction_log_class.FromString(record).predict_log.request
        assert request.model_spec.signature_name == signature.name
        tensors = {
            entry.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value)) for entry in request.inputs
        }
        arrays = signature.example_arrays()
        assert set(tensors) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(tensors[name], array)

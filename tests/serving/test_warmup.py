import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

# tensorflow_serving/apis/{prediction_log,predict,model}.proto: message -> [(field, number, type, repeated)]
_MESSAGES = {
    "ModelSpec": [("name", 1, "string", False), ("signature_name", 3, "string", False)],
    "Input": [("key", 1, "string", False), ("value", 2, "bytes", False)],  # an entry of the map
    "PredictRequest": [("model_spec", 1, "ModelSpec", False), ("inputs", 2, "Input", True)],
    "PredictLog": [("request", 1, "PredictRequest", False)],
    "PredictionLog": [("predict_log", 6, "PredictLog", False)],
}


def prediction_log_class():
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="warmup_test.proto", package="test", syntax="proto3")
    for message, fields in _MESSAGES.items():
        proto = file.message_type.add(name=message)
        for name, number, type_name, repeated in fields:
            field = proto.field.add(
                name=name, number=number, label=kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            )
            if type_name in _MESSAGES:
                field.type, field.type_name = kind.TYPE_MESSAGE, f".test.{type_name}"
            else:
                field.type = {"string": kind.TYPE_STRING, "bytes": kind.TYPE_BYTES}[type_name]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.PredictionLog"))


def test_a_request_for_every_signature(version, signatures):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    log_class = prediction_log_class()
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert len(records) == len(signatures)
    for record, signature in zip(records, signatures, strict=True):
        request = log_class.FromString(record).predict_log.request
        assert request.model_spec.signature_name == signature.name
        tensors = {
            entry.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value)) for entry in request.inputs
        }
        arrays = signature.example_arrays()
        assert set(tensors) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(tensors[name], array)

"""The official stubs and the client understand the same servers, and the official messages are those on the wire."""

import concurrent.futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ikelos.serving.client import Client


@pytest.fixture
def channel(servers):
    with grpc.insecure_channel(servers[False]) as channel:
        yield channel


def test_official_stubs_call_a_server_of_our_messages(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "toy", "echo"
    request.model_spec.version_label = "stable"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["é", "b"]))
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([b"\xff", b"\x00"]))
    request.inputs["length"].CopyFrom(tf.make_tensor_proto([3, -4]))
    response = stub.Predict(request, timeout=60)
    assert response.model_spec.version.value == 2
    assert {name: tf.make_ndarray(tensor).tolist() for name, tensor in response.outputs.items()} == {
        "text": ["é".encode(), b"b"],
        "image_bytes": [b"\xff", b"\x00"],
        "length": [3, -4],
    }
    metadata = stub.GetModelMetadata(
        get_model_metadata_pb2.GetModelMetadataRequest(model_spec=request.model_spec, metadata_field=["signature_def"]),
        timeout=60,
    )
    definitions = get_model_metadata_pb2.SignatureDefMap()
    metadata.metadata["signature_def"].Unpack(definitions)
    assert definitions.signature_def["serving_default"].inputs["x"].dtype == tf.float32.as_datatype_enum


def test_official_stubs_read_status_and_errors(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    states = {status.version: status.state for status in stub.GetModelStatus(request, timeout=60).model_version_status}
    assert states == {
        2: get_model_status_pb2.ModelVersionStatus.AVAILABLE,
        1: get_model_status_pb2.ModelVersionStatus.END,
    }
    request.model_spec.name = "other"
    with pytest.raises(grpc.RpcError) as raised:
        stub.GetModelStatus(request, timeout=60)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


class _Official(prediction_service_pb2_grpc.PredictionServiceServicer):
    """A server of official classes with one signature, which doubles numbers, with values in typed fields."""

    def GetModelMetadata(self, request, context):  # noqa: N802
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for side, name in (("inputs", "x"), ("outputs", "y")):
            info = getattr(definitions.signature_def["serving_default"], side)[name]
            info.dtype = tf.float32.as_datatype_enum
            info.tensor_shape.CopyFrom(tf.TensorShape([None, 2]).as_proto())
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(definitions)
        return response

    def Predict(self, request, context):  # noqa: N802
        x = tf.make_ndarray(request.inputs["x"])
        response = predict_pb2.PredictResponse()
        response.outputs["y"].dtype = tf.float32.as_datatype_enum
        response.outputs["y"].tensor_shape.CopyFrom(tf.TensorShape(x.shape).as_proto())
        response.outputs["y"].float_val.extend(2 * x.ravel())
        return response


def test_the_client_calls_a_server_of_official_messages():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Official(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}", "double") as client:
        y = client.predict({"x": [[1, 2.5], [3, np.float32(0.1)]]})["y"]
    server.stop(0)
    np.testing.assert_array_equal(y, np.array([[2, 5], [6, 0.2]], np.float32))

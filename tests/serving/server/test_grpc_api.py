"""gRPC requests by the official classes of tensorflow-serving-api, and malformed ones."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from ikelos.serving.protocol import messages


@pytest.fixture
def predictions(server):
    return prediction_service_pb2_grpc.PredictionServiceStub(server.grpc)


@pytest.fixture
def model_service(server):
    return model_service_pb2_grpc.ModelServiceStub(server.grpc)


def predict_request(name="plain", signature="", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value if hasattr(value, "tensor_shape") else tf.make_tensor_proto(value))
    return request


def refused(send, request):
    with pytest.raises(grpc.RpcError) as raised:
        send(request, timeout=60)
    return raised.value.code().name, raised.value.details()


def test_predict(predictions):
    response = predictions.Predict(predict_request(x=[1.0, 2.0, 5.0]))
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [3.5, 4.0, 5.5]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("plain", 123, "serving_default")


def test_strings_and_an_output_filter(predictions):
    request = predict_request(
        "plain", "checked", text=np.array([b"a", b"\xff\0"], object), n=np.array([1, 2], np.int32)
    )
    response = predictions.Predict(request)
    assert tf.make_ndarray(response.outputs["text"]).tolist() == [b"a1", b"\xff\x002"]
    request.output_filter.append("rows")
    assert list(predictions.Predict(request).outputs) == ["rows"]
    request.output_filter.append("rows")
    assert refused(predictions.Predict, request) == ("INVALID_ARGUMENT", "duplicate output tensor alias: rows")
    request.output_filter[:] = ["y"]
    assert refused(predictions.Predict, request) == (
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: y Outputs expected to be in the set {rows,text}.",
    )


def test_metadata(predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "plain"
    response = predictions.GetModelMetadata(request)
    assert response.model_spec.version.value == 123
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(definitions)
    found = definitions.signature_def["checked"]
    assert found.method_name == "tensorflow/serving/predict"
    assert found.inputs["n"].dtype == tf.int32.as_datatype_enum
    assert [dim.size for dim in found.inputs["n"].tensor_shape.dim] == [-1]
    assert set(definitions.signature_def) == {
        *("serving_default", "slow", "checked", "copy", "invert", "join", "__saved_model_init_op")
    }


def test_wrong_requests_for_metadata(predictions):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    assert refused(predictions.GetModelMetadata, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "plain"
    code, message = refused(predictions.GetModelMetadata, request)
    assert (code, message) == (
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    request.metadata_field.append("weights")
    code, message = refused(predictions.GetModelMetadata, request)
    assert (code, message) == ("INVALID_ARGUMENT", "Metadata field weights is not supported")


def test_status(model_service):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "plain"
    (status,) = model_service.GetModelStatus(request).model_version_status
    assert (status.version, status.state) == (123, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert (status.status.error_code, status.status.error_message) == (0, "")
    request.model_spec.version_label = "absent"  # TensorFlow Serving looks at no label here
    assert [status.version for status in model_service.GetModelStatus(request).model_version_status] == [123]
    request.model_spec.version.value = 4
    assert refused(model_service.GetModelStatus, request) == ("NOT_FOUND", "Could not find version 4 of model plain")
    request.model_spec.name = "half"
    assert refused(model_service.GetModelStatus, request) == ("NOT_FOUND", "Could not find version 4 of model half")
    request.model_spec.ClearField("version")
    assert refused(model_service.GetModelStatus, request) == (
        "NOT_FOUND",
        "Could not find any versions of model half",
    )


def test_health(server):
    request = messages.HealthCheckRequest()
    response = server.call("Check", request, service="grpc.health.v1.Health")
    assert response.status == 1  # SERVING
    request.service = "tensorflow.serving.PredictionService"
    assert server.call("Check", request, service="grpc.health.v1.Health").status == 1
    request.service = "absent"
    with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
        server.call("Check", request, service="grpc.health.v1.Health")


@pytest.mark.parametrize(
    ("method", "request_class"),
    [
        ("Classify", classification_pb2.ClassificationRequest),
        ("Regress", regression_pb2.RegressionRequest),
        ("MultiInference", inference_pb2.MultiInferenceRequest),
    ],
)
def test_what_the_server_does_not_have(predictions, method, request_class):
    code, message = refused(getattr(predictions, method), request_class())
    assert (code, message) == (
        "UNIMPLEMENTED",
        f"This server does not have {method}: use Predict, or TensorFlow Serving",
    )


def test_the_configuration_is_not_reloaded_by_request(model_service):
    code, _ = refused(model_service.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())
    assert code == "UNIMPLEMENTED"


def huge():
    tensor = tf.make_tensor_proto(np.float32([1.0]))
    tensor.tensor_shape.dim[0].size = 2**40
    return tensor


def short():
    tensor = tf.make_tensor_proto(np.float32([1, 2, 3]))
    tensor.tensor_content = b"abc"
    return tensor


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (predict_request("half", x=[1.0]), "NOT_FOUND", "Servable not found for request: Latest(half)"),
        (predict_request(""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (predict_request("plain", "absent"), "FAILED_PRECONDITION", 'Serving signature key "absent" not found.'),
        (predict_request(), "INVALID_ARGUMENT", "must get the inputs ['x']. Received: []"),
        (predict_request(x=[1.0], z=[1.0]), "INVALID_ARGUMENT", "Received: ['x', 'z']"),
        (predict_request(x=["a"]), "INVALID_ARGUMENT", "input 'x' must"),
        (predict_request(x=[[1.0]]), "INVALID_ARGUMENT", "input 'x' must have shape (any,). Received: shape (1, 1)"),
        (predict_request(x=np.zeros(101, np.float32)), "INVALID_ARGUMENT", "'x' must have at most 100 rows"),
        (predict_request(x=huge()), "INVALID_ARGUMENT", "input 'x' must have at most 1048576 bytes"),
        (predict_request(x=short()), "INVALID_ARGUMENT", "input 'x' must have 12 bytes"),
        (predict_request(x=np.zeros(1, np.complex64)), "INVALID_ARGUMENT", "input 'x' must have one of the dtypes"),
        (
            predict_request("plain", "checked", text=["a"], n=np.int32([-1])),
            "INVALID_ARGUMENT",
            "Signature 'checked': n must be in [0, 9] -1",
        ),
        (
            predict_request("plain", "checked", text=["a", "b"], n=np.int32([1, 2, 3])),
            "INVALID_ARGUMENT",
            "must match|ncompatible|shapes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_request_is_told_what_was_wrong(predictions, request_, code, message):
    found = refused(predictions.Predict, request_)
    assert found[0] == code
    assert any(part in found[1] for part in message.split("|")), found[1]


def test_bytes_that_are_no_message(server):
    for data in (b"\xff", b"\x0a\x05abc", bytes(range(256))):
        with pytest.raises(grpc.RpcError) as raised:
            server.call("Predict", data)
        assert raised.value.code().name == "INVALID_ARGUMENT"
        assert "must be a tensorflow.serving.PredictRequest" in raised.value.details()


def test_a_message_beyond_the_limit(predictions):
    code, message = refused(predictions.Predict, predict_request(x=np.zeros(2**19, np.float32)))
    assert code == "RESOURCE_EXHAUSTED"
    assert "1048576" in message


def test_the_clients_deadline(predictions):
    request = predict_request("plain", "slow", steps=np.int32([2**31 - 1]))
    assert refused(lambda *_, timeout: predictions.Predict(request, timeout=0.3), None)[0] == "DEADLINE_EXCEEDED"

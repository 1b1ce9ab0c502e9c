import json

import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from ikelos.serving import StockModel
from ikelos.serving.protocol import messages
from ikelos.serving.protocol.metadata import (
    read_metadata,
    read_signatures,
    read_status,
    unpack_signatures,
    write_metadata,
    write_status,
)

# As the documentation of TensorFlow Serving's REST API shows it, for the model half_plus_three.
METADATA = b"""{
"model_spec":{"name": "half_plus_three", "signature_name": "", "version": "123"},
"metadata": {"signature_def": {"signature_def": {
  "serving_default": {
    "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": {
      "dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": false}, "name": "x:0"}},
    "outputs": {"y": {"dtype": "DT_STRING", "tensor_shape": {"dim": [], "unknown_rank": true}, "name": "y:0"}},
    "method_name": "tensorflow/serving/predict"}}}}}"""
STATUS = b"""{"model_version_status": [
  {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
  {"version": "1", "state": "END", "status": {"error_code": "NOT_FOUND", "error_message": "gone"}}]}"""


def test_metadata_are_read_and_written_as_documented():
    response = read_metadata(METADATA)
    assert (response.model_spec.name, response.model_spec.version.value) == ("half_plus_three", 123)
    assert read_signatures(unpack_signatures(response).signature_def) == {
        "serving_default": {"inputs": {"x": ("float32", (None, 1))}, "outputs": {"y": ("string", None)}}
    }
    written = json.loads(write_metadata(response))
    expected = json.loads(METADATA)
    expected["metadata"]["signature_def"]["signature_def"]["serving_default"]["defaults"] = {}
    assert written == expected


def test_the_message_is_the_official_one():
    data = read_metadata(METADATA).SerializeToString()
    official = get_model_metadata_pb2.GetModelMetadataResponse.FromString(data)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert official.metadata["signature_def"].Unpack(definitions)
    tensor = definitions.signature_def["serving_default"].inputs["x"]
    assert (tensor.name, tensor.dtype, [dim.size for dim in tensor.tensor_shape.dim]) == ("x:0", 1, [-1, 1])


def test_status_is_read_and_written_as_the_official_message_is():
    response = read_status(STATUS)
    assert [version.version for version in response.model_version_status] == [2, 1]
    assert json.loads(write_status(response)) == json.loads(STATUS)
    official = get_model_status_pb2.GetModelStatusResponse.FromString(response.SerializeToString())
    options = {"always_print_fields_with_no_presence": True}
    assert json_format.MessageToDict(official, **options) == json.loads(STATUS)


@pytest.mark.parametrize("read", [read_metadata, read_status])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 10**5, b'{"model_version_status": 3, "model_spec": {}, "metadata": 3}']
)
def test_another_body_is_refused(read, body):
    with pytest.raises(ValueError, match="The body must be"):
        read(body)


def test_a_response_without_signatures_is_refused():
    with pytest.raises(ValueError, match="must have the metadata `signature_def`"):
        unpack_signatures(messages.GetModelMetadataResponse())


def test_signatures_of_a_saved_model(version):
    (meta_graph,) = messages.SavedModel.FromString((version / "saved_model.pb").read_bytes()).meta_graphs
    with StockModel(version) as model:
        assert read_signatures(meta_graph.signature_def) == model.signatures

"""Requests to a running server that has the models of `models.py`, by the messages of tensorflow-serving-api.

`make serving-docker` starts TensorFlow Serving and runs this. Against another server:
    IKELOS_SERVING_MODELS=FOLDER IKELOS_SERVING_REST=HOST:PORT IKELOS_SERVING_GRPC=HOST:PORT pytest tests/serving/docker
IKELOS_SERVING_DEPLOYMENT, a folder of `ikelos deploy render` that the server reads, adds the tests of labels.
"""

import base64
import json
import os
import pathlib
import subprocess
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest

from ikelos.serving.client import Client
from ikelos.serving.compare import difference
from ikelos.serving.examples import read_examples, read_expected
from ikelos.serving.protocol.rest import to_request

_VARIABLES = ("IKELOS_SERVING_MODELS", "IKELOS_SERVING_REST", "IKELOS_SERVING_GRPC")
MODELS, REST, GRPC = map(os.environ.get, _VARIABLES)
DEPLOYMENT = os.environ.get("IKELOS_SERVING_DEPLOYMENT")
if not (MODELS and REST and GRPC):
    pytest.skip(f"needs a server, in {', '.join(_VARIABLES)}", allow_module_level=True)

VERSIONS = {"scores": pathlib.Path(MODELS) / "scores" / "2", "lm": pathlib.Path(MODELS) / "lm" / "1"}
CASES = [(model, signature) for model, version in VERSIONS.items() for signature in read_examples(version)]
with_labels = pytest.mark.skipif(not DEPLOYMENT, reason="needs the folder of the server, IKELOS_SERVING_DEPLOYMENT")


@pytest.fixture(scope="module")
def api():
    """Returns the packages of tensorflow-serving-api and stubs of the services."""
    import types

    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    with grpc.insecure_channel(GRPC) as channel:
        yield types.SimpleNamespace(
            metadata=get_model_metadata_pb2,
            status=get_model_status_pb2,
            predict=predict_pb2,
            predictions=prediction_service_pb2_grpc.PredictionServiceStub(channel),
            models=model_service_pb2_grpc.ModelServiceStub(channel),
        )


def ask(path, body=None, server=REST):
    """Returns the status and the JSON of an answer; `body` is JSON data, or bytes to send as they are."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://{server}{path}", data), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def request(api, model, signature, inputs, label=None):
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2

    asked = api.predict.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = model, signature
    if label:
        asked.model_spec.version_label = label
    # The numbers of an example have the dtypes of the signature, which the metadata tells.
    _, metadata = ask(f"/v1/models/{model}/metadata")
    kinds = metadata["metadata"]["signature_def"]["signature_def"][signature]["inputs"]
    for name, value in inputs.items():
        dtype = types_pb2.DataType.Value(kinds[name]["dtype"])
        asked.inputs[name].CopyFrom(tf.make_tensor_proto(value, dtype))
    return api.predictions.Predict(asked, timeout=60)


def compare(found, expected):
    """Compares outputs as the stock check does: strings and integers exactly, floats to its tolerance."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        # JSON has no dtypes, and an array of bytes would lose its zeros at the end.
        difference(name, np.asarray(found[name], dtype=array.dtype), array)


def from_rest(name, value):
    """Returns an output of a REST answer with bytes in place of text and base64."""
    if isinstance(value, list):
        return [from_rest(name, item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("model", VERSIONS)
def test_a_version_is_available(api, model):
    status, body = ask(f"/v1/models/{model}")
    assert status == 200
    states = {each["version"]: each["state"] for each in body["model_version_status"]}
    assert states[VERSIONS[model].name] == "AVAILABLE"
    asked = api.status.GetModelStatusRequest()
    asked.model_spec.name = model
    answer = api.models.GetModelStatus(asked, timeout=60)
    assert {str(each.version) for each in answer.model_version_status} == set(states)


@pytest.mark.parametrize("model", VERSIONS)
def test_the_metadata_names_every_signature(api, model):
    asked = api.metadata.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = model
    answer = api.predictions.GetModelMetadata(asked, timeout=60)
    signatures = api.metadata.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)
    examples = read_examples(VERSIONS[model])
    served = {name: each for name, each in signatures.signature_def.items() if not name.startswith("__")}
    assert set(served) == set(examples)
    for name, example in examples.items():
        assert set(served[name].inputs) == set(example["inputs"])


@pytest.mark.parametrize(("model", "signature"), CASES)
def test_an_example_gives_the_outputs_of_python(api, model, signature):
    import tensorflow as tf

    answer = request(api, model, signature, read_examples(VERSIONS[model])[signature]["inputs"])
    assert answer.model_spec.name == model
    found = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
    compare(found, read_expected(VERSIONS[model])[signature])


@pytest.mark.parametrize(("model", "signature"), CASES)
def test_rest_gives_the_same(model, signature):
    example = {name: to_request(value) for name, value in read_examples(VERSIONS[model])[signature]["inputs"].items()}
    status, body = ask(f"/v1/models/{model}:predict", {"signature_name": signature, "inputs": example})
    assert status == 200, body
    expected = read_expected(VERSIONS[model])[signature]
    outputs = body["outputs"] if len(expected) > 1 else {next(iter(expected)): body["outputs"]}
    compare({name: from_rest(name, value) for name, value in outputs.items()}, expected)


@pytest.mark.parametrize("rows", [1, 7])
def test_rows_are_instances_of_any_number(rows):
    body = {"instances": [{"words": "to"}] * rows}
    status, body = ask("/v1/models/scores:predict", body)
    assert status == 200
    first = read_expected(VERSIONS["scores"])["serving_default"]["scores"][0]
    np.testing.assert_allclose(body["predictions"], [first] * rows, 1e-4, 1e-4)


@pytest.mark.parametrize(("model", "signature"), CASES)
@pytest.mark.parametrize(("server", "rest"), [(GRPC, False), (REST, True)], ids=["grpc", "rest"])
def test_the_client_gets_the_same(model, signature, server, rest):
    inputs = read_examples(VERSIONS[model])[signature]["inputs"]
    with Client(server, model, rest=rest) as client:
        compare(client.predict(inputs, signature), read_expected(VERSIONS[model])[signature])


def test_the_client_streams_what_generate_writes():
    sampling = {"length": [12], "temperature": [0.0], "top_k": [0], "top_p": [1.0], "seed": [1], "stop": [[""]]}
    with Client(GRPC, "lm") as client:
        [text] = client.predict({"prompt": ["To be"], **sampling}, "generate")["text"]
        assert "".join(client.stream("To be", 12)) == text.decode(errors="replace")


WRONG = {
    "no JSON": ("/v1/models/scores:predict", b"{"),
    "no inputs": ("/v1/models/scores:predict", {}),
    "another input": ("/v1/models/scores:predict", {"inputs": {"word": ["to"]}}),
    "another type": ("/v1/models/scores:predict", {"inputs": {"words": [1.5]}}),
    "no such signature": ("/v1/models/scores:predict", {"signature_name": "x", "inputs": {"words": ["to"]}}),
    "no such model": ("/v1/models/other:predict", {"inputs": {"words": ["to"]}}),
    "no such version": ("/v1/models/scores/versions/99:predict", {"inputs": {"words": ["to"]}}),
    "no such label": ("/v1/models/scores/labels/nobody:predict", {"inputs": {"words": ["to"]}}),
    "a token beyond the vocabulary": (
        "/v1/models/lm:predict",
        {"signature_name": "detokenize", "inputs": {"tokens": "x"}},
    ),
    "a length beyond the limit": (
        "/v1/models/lm:predict",
        {
            "signature_name": "generate",
            "inputs": {"prompt": ["a"], "length": [17], "temperature": [1], "top_k": [0], "top_p": [1], "seed": [1]}
            | {"stop": [[""]]},
        },
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_the_clients_fault(name):
    status, body = ask(*WRONG[name])
    assert 400 <= status < 500
    assert body["error"]


def test_a_wrong_message_is_the_clients_fault(api):
    asked = api.predict.PredictRequest()
    asked.model_spec.name = "other"
    with pytest.raises(grpc.RpcError) as error:
        api.predictions.Predict(asked, timeout=60)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    asked.model_spec.name = "scores"
    with pytest.raises(grpc.RpcError) as error:
        api.predictions.Predict(asked, timeout=60)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_metrics_are_for_prometheus():
    with urllib.request.urlopen(f"http://{REST}/monitoring/prometheus/metrics", timeout=60) as answer:
        assert b"# TYPE" in answer.read()


@with_labels
def test_the_server_has_warmed_up():
    command = ["docker", "compose", "--project-directory", DEPLOYMENT, "logs", "serving"]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert log.count("Finished reading warmup data for model at") >= len(VERSIONS)


@with_labels
def test_labels_lead_to_the_versions_that_they_are_moved_to(api):
    import tensorflow as tf

    from ikelos.serving.deploy import Releases, RunningServer

    base = pathlib.Path(MODELS) / "scores"
    words = read_examples(base / "1")["serving_default"]["inputs"]

    def check(label, version):
        answer = request(api, "scores", "serving_default", words, label)
        found = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        compare(found, read_expected(base / str(version))["serving_default"])
        status, body = ask(f"/v1/models/scores/labels/{label}:predict", {"inputs": words})
        assert status == 200
        compare({"scores": body["outputs"]}, read_expected(base / str(version))["serving_default"])

    def change(name, *arguments):
        with Releases(DEPLOYMENT, RunningServer(REST), 120) as releases:
            getattr(releases, name)("scores", *arguments)

    change("promote", 1)
    check("stable", 1)
    change("canary", 2, 10)
    check("stable", 1)
    check("canary", 2)
    change("promote", 2)
    check("stable", 2)
    change("rollback")
    check("stable", 1)


@with_labels
def test_the_proxy_lets_the_api_through():
    port = os.environ["IKELOS_SERVING_PROXY"]
    status, body = ask("/v1/models/lm", server=port)
    assert status == 200
    assert body["model_version_status"]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{port}/monitoring/prometheus/metrics", timeout=60)

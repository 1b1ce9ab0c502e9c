"""Requests with random faults: each gets an answer or an error that blames the request, and the server goes on."""

import random

import grpc
import numpy as np
import pytest

from ikelos.serving.protocol import messages
from ikelos.serving.protocol.tensors import to_tensor_proto

COUNTS = [pytest.param(500, id="few"), pytest.param(50_000, id="many", marks=pytest.mark.slow)]
BLAME = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}


def spoilt(rng, data):
    """Returns bytes with a few of them changed, removed, repeated or added."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice([0, 1, 1, 2, 8]))
        data[start:end] = rng.choice([b"", rng.randbytes(1), rng.randbytes(4), data[start:end] * 2, b"[" * 300])
    return bytes(data)


def predict_request():
    request = messages.PredictRequest(model_spec={"name": "plain", "version": {"value": 123}})
    request.model_spec.signature_name = "checked"
    request.inputs["text"].CopyFrom(to_tensor_proto(np.array([b"a", b"bc"], object)))
    request.inputs["n"].CopyFrom(to_tensor_proto(np.array([1, 2], np.int32)))
    return request.SerializeToString()


@pytest.mark.parametrize("count", COUNTS)
def test_grpc(server, count):
    rng, request, answered = random.Random(0), predict_request(), 0
    for _ in range(count):
        data, found = spoilt(rng, request), None
        try:
            server.call("Predict", data)
            answered += 1
        except grpc.RpcError as error:
            found = error.code().name, error.details()
        assert found is None or (found[0] in BLAME and found[1]), (data, found)
    assert server.call("Predict", request).outputs["text"].string_val == [b"a1", b"bc2"]
    assert 0 < answered < count


@pytest.mark.parametrize("count", COUNTS)
def test_rest(server, count):
    rng, answered = random.Random(0), 0
    bodies = [
        b'{"signature_name": "checked", "inputs": {"text": ["a", "\\u00e9"], "n": [1, 2]}}',
        b'{"signature_name": "copy", "instances": [{"image_bytes": {"b64": "/wA="}}]}',
        b'{"instances": [1.5, -2, 3e2, NaN]}',
    ]
    for _ in range(count):
        body = spoilt(rng, rng.choice(bodies))
        response = server.http.post("/v1/models/plain:predict", content=body)
        answered += response.status_code == 200
        assert response.status_code == 200 or 400 <= response.status_code < 500, (body, response.text)
        assert response.status_code == 200 or response.json()["error"]
    assert server.http.post("/v1/models/plain:predict", content=bodies[2][:-5] + b"]}").status_code in (200, 400)
    assert 0 < answered < count

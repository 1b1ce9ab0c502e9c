"""Requests with random faults: each gets an answer or an error that blames the request, and the server goes on."""

import contextlib
import json
import random
import re
from collections import Counter

import grpc
import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import checks

from ikelos.serving.protocol import messages
from ikelos.serving.protocol.tensors import to_tensor_proto

# About 1,000 requests each by REST, and 500 for each of the two tests of gRPC.
PARTS = [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 50))]
CHECKS = [checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance]
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


def random_request(rng):
    """Returns a right message in which up to three fields have random values."""
    request = messages.PredictRequest.FromString(predict_request())
    for _ in range(rng.randint(0, 3)):
        tensor = request.inputs[rng.choice(["text", "n", "n", "é"])]
        alter = rng.choice([_other_spec, _other_dtype, _other_shape, _other_values])
        alter(rng, request if alter is _other_spec else tensor)
    return request.SerializeToString()


def _other_spec(rng, request):
    field = rng.choice(["name", "signature_name", "version", "output_filter"])
    if field == "version":
        request.model_spec.version.value = rng.choice([123, 0, -1, 2**63 - 1])
    elif field == "output_filter":
        request.output_filter.append(rng.choice(["text", "rows", "", "é"]))
    else:
        setattr(request.model_spec, field, rng.choice(["words", "copy", "serving_default", "", "é", "x" * 1000]))


def _other_dtype(rng, tensor):
    tensor.dtype = rng.choice([0, 1, 3, 7, 8, 9, 10, 14, 19, 20, 21, 23, 101, 200, -5])


def _other_shape(rng, tensor):
    tensor.tensor_shape.Clear()
    tensor.tensor_shape.unknown_rank = rng.random() < 0.1
    for _ in range(rng.choice([0, 1, 1, 2, 9, 300])):
        tensor.tensor_shape.dim.add(size=rng.choice([0, 1, 2, 3, -1, 2**31, 2**62]))


def _other_values(rng, tensor):
    field, count = (
        rng.choice(["tensor_content", "float_val", "int_val", "string_val", "half_val"]),
        rng.choice([0, 1, 2, 99]),
    )
    if field == "tensor_content":
        tensor.tensor_content = rng.randbytes(rng.choice([1, 4]) * count)
        return
    tensor.ClearField(field)
    some = rng.randbytes(rng.choice([0, 3, 1000])) if field == "string_val" else rng.choice([0, 1, -1, 70_000])
    getattr(tensor, field).extend([some] * count)


@pytest.mark.parametrize("is_random", [pytest.param(False, id="spoilt"), pytest.param(True, id="random")])
@pytest.mark.parametrize("part", PARTS)
def test_grpc(server, part, is_random):
    rng, request, answered = random.Random(part), predict_request(), 0
    for _ in range(500):
        data, found = random_request(rng) if is_random else spoilt(rng, request), None
        try:
            server.call("Predict", data)
            answered += 1
        except grpc.RpcError as error:
            found = error.code().name, error.details()
        assert found is None or (found[0] in BLAME and found[1]), (data, found)
    assert server.call("Predict", request).outputs["text"].string_val == [b"a1", b"bc2"]
    assert 0 < answered < 500


def rest_cases(description):
    """Returns a strategy of requests that fit the OpenAPI description, and of others that do not."""
    for item in description["paths"].values():
        if "post" in item:  # without the signature that computes for as long as it is told
            body = item["post"]["requestBody"]["content"]["application/json"]["schema"]
            body["oneOf"] = [form for form in body["oneOf"] if not form["title"].startswith("slow,")]
    schema = schemathesis.openapi.from_dict(description)
    operations = [found.ok() for found in schema.get_all_operations()]
    # Every text fits the name of a model or label.
    able = [operation for operation in operations if operation.method == "post" or "{version}" in operation.path]
    wrong = [operation.as_strategy(schemathesis.GenerationMode.NEGATIVE) for operation in able]
    return st.one_of(*(operation.as_strategy() for operation in operations), *wrong)


def requests_of(case, base_url, rng):
    """Yields the request of a case and, if it has a body, three with that body spoilt; and whether it is spoilt."""
    request = case.as_transport_kwargs(base_url)
    yield request, False
    if "json" in request:
        body = json.dumps(request.pop("json")).encode()
        for _ in range(3):
            yield request | {"data": spoilt(rng, body)}, True


def is_strict_json(body):
    """Returns whether Schemathesis can read a body: it takes NaN for null, and text need not be UTF-8."""
    with contextlib.suppress(UnicodeDecodeError):
        return not re.search("NaN|Infinity", body.decode())
    return False


@pytest.mark.parametrize("part", PARTS)
def test_rest(server, part):
    description, codes = server.http.get("/openapi.json").json(), Counter()

    # Schemathesis takes 8 ms to make a case, and the server 4 ms to answer it.
    @seed(part)
    @settings(max_examples=400, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rest_cases(description), st.integers(0, 2**32))
    def check(case, number):
        for request, is_spoilt in requests_of(case, str(server.http.base_url), random.Random(number)):
            response = session.request(**request)
            codes[response.status_code] += 1
            wanted = list(CHECKS)
            if is_strict_json(response.content):
                wanted.append(checks.response_schema_conformance)
            if response.ok and not is_spoilt:
                wanted.append(checks.negative_data_rejection)
            case.validate_response(response, wanted)

    with requests.Session() as session:
        check()
    assert codes[200] > 50
    assert codes[400] > 50
    assert codes.total() > 800

"""REST requests of TensorFlow Serving's documentation, byte for byte, and malformed ones."""

import contextlib
import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2
from tests.serving.waiting import until

from ikelos.serving.server import engine, rest_api
from ikelos.serving.server.requests import uncompressed

PLAIN = "/v1/models/plain"


def test_a_request_by_rows(server):
    response = server.http.post(f"{PLAIN}:predict", content='{"instances": [1.0,2.0,5.0]}')
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {"predictions": [3.5, 4.0, 5.5]}


def test_a_request_by_columns(server):
    response = server.http.post(f"{PLAIN}/versions/123:predict", content='{"inputs": [1.0,2.0,5.0]}')
    assert response.json() == {"outputs": [3.5, 4.0, 5.5]}
    body = {"signature_name": "checked", "inputs": {"text": ["é", "b"], "n": [1, 2]}}
    response = server.http.post(f"{PLAIN}:predict", json=body)
    assert response.json() == {"outputs": {"text": ["é1", "b2"], "rows": [2, 2]}}
    body = {"signature_name": "checked", "instances": [{"text": "é", "n": 1}, {"text": "b", "n": 2}]}
    response = server.http.post(f"{PLAIN}:predict", json=body)
    assert response.json() == {"predictions": [{"text": "é1", "rows": 2}, {"text": "b2", "rows": 2}]}


def test_binary_values(server):
    content = '{"signature_name": "copy", "instances": [{"image_bytes": { "b64": "aW1hZ2UgYnl0ZXM=" }}]}'
    response = server.http.post(f"{PLAIN}:predict", content=content)
    assert response.json() == {"predictions": [{"b64": "aW1hZ2UgYnl0ZXM="}]}


def test_numbers_that_json_does_not_have(server):
    response = server.http.post(f"{PLAIN}:predict", content='{"instances": [NaN, Infinity, -Infinity, 1e3]}')
    assert response.text.replace(" ", "") == '{"predictions":[NaN,Infinity,-Infinity,503.0]}'


def test_status(server):
    response = server.http.get(PLAIN)
    assert response.json() == {
        "model_version_status": [
            {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    json_format.Parse(response.text, get_model_status_pb2.GetModelStatusResponse())
    assert server.http.get(f"{PLAIN}/versions/123").text == response.text
    # TensorFlow Serving looks at no label here (get_model_status_impl.cc).
    assert server.http.get(f"{PLAIN}/labels/absent").text == response.text


def test_metadata(server):
    found = server.http.get(f"{PLAIN}/metadata").json()
    assert found["model_spec"] == {"name": "plain", "signature_name": "", "version": "123"}
    definitions = get_model_metadata_pb2.SignatureDefMap()
    json_format.ParseDict(found["metadata"]["signature_def"], definitions)
    assert set(definitions.signature_def["checked"].inputs) == {"text", "n"}


def test_the_documentations_error(server):
    response = server.http.post("/v1/models/half:predict", content='{"instances": [1.0,5.0]}')
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    assert response.json() == {"error": "Servable not found for request: Latest(half)"}


def test_names_are_decoded_and_verbs_have_any_case(server):
    assert server.http.post("/V1/Models/p%6Cain:PREDICT", content='{"instances": [2]}').json() == {"predictions": [4.0]}
    assert "Latest(a/b)" in server.http.post("/v1/models/a%2Fb:predict", content='{"instances": [2]}').text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", ":predict", "", 400, "The body must be JSON"),
        ("POST", ":predict", "{", 400, "The body must be JSON"),
        ("POST", ":predict", "[1]", 400, "The body must be a JSON object"),
        ("POST", ":predict", b'{"instances": ["\xff"]}', 400, "The body must be JSON. Received: 'utf-8' codec"),
        ("POST", ":predict", '{"instances": ' + "[" * 100_000, 400, "nested too deeply"),
        ("POST", ":predict", '{"instances": ' + "[" * 500 + "]" * 500 + "}", 400, "nested so deeply"),
        ("POST", ":predict", "{}", 400, "either `instances` or `inputs`"),
        ("POST", ":predict", '{"inputs": [1], "instances": [1]}', 400, "either `instances` or `inputs`"),
        ("POST", ":predict", '{"instances": []}', 400, "at least one row"),
        ("POST", ":predict", '{"instances": ["a"]}', 400, "input 'x' must hold float32 values"),
        ("POST", ":predict", '{"instances": [[1], [2]]}', 400, "input 'x' must have shape (any,)"),
        ("POST", ":predict", '{"instances": [[1], [2, 3]]}', 400, "input 'x' must be float32 values in lists of equal"),
        ("POST", ":predict", '{"inputs": {"z": [1]}}', 400, "The inputs must be ['x']. Received: ['z']"),
        ("POST", ":predict", json.dumps({"inputs": [0] * 101}), 400, "'x' must have at most 100 rows"),
        ("POST", ":predict", '{"inputs": [1e39]}', 400, "must fit into float32"),
        ("POST", ":predict", '{"signature_name": 3, "inputs": [1]}', 400, "`signature_name` must be a string"),
        ("POST", ":predict", '{"signature_name": "no", "inputs": [1]}', 400, 'Serving signature key "no" not found.'),
        (
            "POST",
            ":predict",
            '{"signature_name": "copy", "inputs": [{"b64": "?"}]}',
            400,
            'input \'image_bytes\': an object must be {"b64": "..."} in base64',
        ),
        (
            "POST",
            ":predict",
            '{"signature_name": "checked", "inputs": {"text": ["a"], "n": [-1]}}',
            400,
            "Signature 'checked': n must be in [0, 9] -1",
        ),
        ("POST", ":predict", "0" * (2**20 + 1), 413, "must have at most 1048576 bytes"),
        ("POST", ":classify", "{}", 501, "This server does not have classify"),
        ("POST", ":regress", "{}", 501, "This server does not have regress"),
        ("POST", ":forecast", "{}", 400, "Malformed request: POST /v1/models/plain:forecast"),
        ("POST", "", "{}", 400, "Malformed request: POST /v1/models/plain"),
        ("GET", ":predict", None, 400, "Malformed request: GET /v1/models/plain:predict"),
        ("POST", "/versions/x:predict", "{}", 400, "Malformed request"),
        ("POST", "/versions/99999999999999999999:predict", "{}", 400, "Failed to convert version"),
        ("POST", "/versions/4:predict", '{"inputs": [1]}', 404, "Specific(plain, 4)"),
        ("POST", "/labels/beta:predict", '{"inputs": [1]}', 400, "Unrecognized servable version label: beta"),
        ("GET", "/versions/4", None, 404, "Could not find version 4 of model plain"),
        ("GET", "x", None, 404, "Could not find any versions of model plainx"),
        ("PUT", ":predict", "{}", 400, "Malformed request: PUT /v1/models/plain:predict"),
        ("GET", "x/metadata", None, 404, "Servable not found for request: Latest(plainx)"),
        ("GET", "/labels/beta/metadata", None, 400, "Unrecognized servable version label: beta"),
        ("GET", "/", None, 400, "Malformed request: GET /v1/models/plain/"),
        ("GET", "%0A/versions/1", None, 404, "Could not find version 1 of model plain\n"),
        ("TRACE", "", None, 400, "Malformed request: TRACE /v1/models/plain"),
        ("POST", ":predict?x=1", '{"inputs": [1]}', 400, "Malformed request: POST /v1/models/plain:predict?x=1"),
        ("GET", "?x=1", None, 404, "Could not find any versions of model plain?x=1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_request_is_told_what_was_wrong(server, method, path, body, status, message):
    response = server.http.request(method, PLAIN + path, content=body)
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 400),
        ("GET", "/v1/models/", 400),
        ("GET", "/v1", 404),
        ("GET", "/x", 404),
        ("GET", "/openapi.json/", 404),
        ("POST", "/openapi.json", 405),
        ("DELETE", "/monitoring/prometheus/metrics", 405),
    ],
)
def test_a_path_without_a_model(server, method, path, status):
    response = server.http.request(method, path)
    assert (response.status_code, *response.json()) == (status, "error")


def test_a_head_request_has_no_answer_of_a_model(server):
    assert server.http.head(PLAIN).status_code == 400  # as in TensorFlow Serving, which takes GET and POST


def test_a_compressed_request(server):
    headers = {"Content-Encoding": "gzip"}
    content = gzip.compress(b'{"instances": [2]}')
    response = server.http.post(f"{PLAIN}:predict", content=content, headers=headers)
    assert response.json() == {"predictions": [4.0]}
    response = server.http.post(f"{PLAIN}:predict", content=gzip.compress(bytes(2**20 + 1)), headers=headers)
    assert response.status_code == 413


def test_few_bodies_are_decompressed_at_once(server, monkeypatch):
    inside, end = [], threading.Event()

    def held(*arguments):
        inside.append(1)
        assert end.wait(60)
        return uncompressed(*arguments)

    monkeypatch.setattr(rest_api, "uncompressed", held)
    content, headers = gzip.compress(b'{"instances": [2]}'), {"Content-Encoding": "gzip"}
    with ThreadPoolExecutor(12) as threads, contextlib.ExitStack() as stack:
        stack.callback(end.set)
        sent = [
            threads.submit(server.http.post, f"{PLAIN}:predict", content=content, headers=headers) for _ in range(12)
        ]
        until(lambda: _value(server, "ikelos:serving:requests_in_flight") == 12)
        until(lambda: len(inside) >= engine._MOST_PARSING)
        time.sleep(0.1)  # in which more would come if they could
        assert len(inside) == engine._MOST_PARSING
        end.set()
        assert [response.result().status_code for response in sent] == [200] * 12


def test_a_body_without_a_length(server):
    response = server.http.post(f"{PLAIN}:predict", content=(b"0" * 2**16 for _ in range(64)))
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:1"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:8501"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost", "Origin": "https://evil.example"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
        ({"Host": "["}, 403),
        ({"Host": "localhost", "Origin": "http://["}, 403),
    ],
    ids=str,
)
def test_pages_of_other_sites_are_refused(server, headers, status):
    response = server.http.post(f"{PLAIN}:predict", content='{"instances": [1]}', headers=headers)
    assert response.status_code == status


def test_metrics(server):
    before = _value(server, ':tensorflow:serving:request_count{model_name="plain",status="OK"}')
    body = {"instances": [1, 2, 3]}
    for _ in range(2):
        assert server.http.post(f"{PLAIN}:predict", json=body).status_code == 200
    server.http.post(f"{PLAIN}:predict", json={"instances": ["a"]})
    server.http.post("/v1/models/absent:predict", json=body)
    assert _value(server, ':tensorflow:serving:request_count{model_name="plain",status="OK"}') == before + 2
    assert _value(server, ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}') >= 1
    labels = 'entrypoint="REST",model_name="plain",signature_name="serving_default"'
    assert _value(server, f'ikelos:serving:request_count_total{{{labels},status="INVALID_ARGUMENT"}}') >= 1
    latency = ':tensorflow:serving:request_latency_count{API="Predict",entrypoint="REST",model_name="plain"}'
    assert _value(server, latency) >= 2
    rows = 'ikelos:serving:batch_rows_sum{model_name="plain",signature_name="serving_default"}'
    assert _value(server, rows) >= 6
    assert _value(server, 'ikelos:serving:version_available{model_name="plain",version="123"}') == 1
    assert _value(server, "process_resident_memory_bytes") > 1e6


def _value(server, name):
    page = server.http.get("/monitoring/prometheus/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = [line for line in page.text.splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_a_large_answer(server):
    body = {"signature_name": "copy", "inputs": ["x" * 10_000] * 50}
    (first, *others) = server.http.post(f"{PLAIN}:predict", json=body).json()["outputs"]
    assert len(others) == 49
    assert len(np.char.encode(first["b64"], "ascii").item()) == 13_336

"""The schemas agree with what `rest` reads and writes."""

import json

import jsonschema
import numpy as np
import pytest

from ikelos.serving.protocol import rest
from ikelos.serving.protocol.json_schema import request_schema, response_schema

SIGNATURES = {
    "serving_default": {"inputs": {"x": ("float32", (None,))}, "outputs": {"y": ("float32", (None,))}},
    "all": {
        "inputs": {
            "number": ("float16", (None,)),
            "count": ("uint8", (None, 2)),
            "long": ("int64", (None,)),
            "text": ("string", (None, None)),
            "flag": ("bool", (None,)),
        },
        "outputs": {"text": ("string", (None,)), "image_bytes": ("string", (None,)), "flag": ("bool", (None, 1))},
    },
    "fixed": {"inputs": {"x": ("float32", (2, None, None))}, "outputs": {}},
    "scalar": {"inputs": {"seed": ("int32", ())}, "outputs": {"any": ("float32", None)}},
}
FACTS = {
    "all": {
        "max_rows": 2,
        "inputs": {
            "number": {"bounds": {"values": [0, 1]}},
            "count": {"bounds": {}},
            "long": {},
            "text": {"bounds": {"max_bytes": 3, "max_size": 2}},
            "flag": {"bounds": {}},
        },
    }
}
ROW = {"number": 0.5, "count": [0, 255], "long": -(2**63), "text": ["abc", {"b64": "/w=="}], "flag": True}


def fits(body):
    schema = request_schema(SIGNATURES, FACTS, 3)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(body)


def is_read(body):
    try:
        request = rest.read_predict(json.dumps(body).encode())
        return bool(request.arrays(SIGNATURES[request.signature]["inputs"]))
    except (ValueError, KeyError):
        return False


def everything(**changes):
    return {"signature_name": "all", "instances": [ROW | changes]}


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [1, 2.5]},
        {"instances": [{"x": 1}]},
        {"inputs": [1, -3e38]},
        {"inputs": {"x": []}},
        {"signature_name": "serving_default", "inputs": [1]},
        {"signature_name": "", "inputs": [1]},
        everything(),
        everything(text=[]),
        {"signature_name": "fixed", "instances": [[[1]], [[1]]]},
        {"signature_name": "fixed", "instances": [[[]], [[]]]},
        {"signature_name": "fixed", "inputs": [[[]], [[]]]},
        {"signature_name": "all", "inputs": {name: [value] for name, value in ROW.items()}},
        {"signature_name": "scalar", "inputs": {"seed": 3}},
        {"signature_name": "scalar", "inputs": 3},
    ],
    ids=str,
)
def test_a_right_body_fits_and_is_read(body):
    assert fits(body)
    assert is_read(body)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"instances": []},
        {"instances": [1], "inputs": [1]},
        {"instances": [1], "inputs": "a"},
        {"instances": "a", "inputs": [1]},
        {"instances": ["a"]},
        {"instances": [None]},
        {"instances": [{"z": 1}]},
        {"instances": [{"x": 1, "z": 1}]},
        {"inputs": {"x": [[1]]}},
        {"inputs": 1},
        {"inputs": [1e39]},
        {"signature_name": "absent", "inputs": [1]},
        {"signature_name": 3, "inputs": [1]},
        {"signature_name": "all", "instances": [1]},
        everything(count=[1]),
        everything(count=[1, 256]),
        everything(long=2**63),
        everything(long="1"),
        everything(text="a"),
        everything(text=[{"b64": "?"}]),
        everything(text=[{"b64": "/w==", "c": 1}]),
        everything(number=True),
        {"instances": [1.5, True]},
        everything(flag=1),
        {"signature_name": "fixed", "instances": [[[1]]]},
        {"signature_name": "fixed", "instances": [[[1]]] * 3},
        {"signature_name": "fixed", "instances": [[], []]},
        {"signature_name": "fixed", "inputs": [[], []]},
        {"signature_name": "fixed", "inputs": []},
        {"signature_name": "scalar", "inputs": [3]},
        {"signature_name": "scalar", "instances": [3]},
    ],
    ids=str,
)
def test_a_wrong_body_does_not_fit_and_is_not_read(body):
    assert not fits(body)
    assert not is_read(body)


@pytest.mark.parametrize(
    "body",
    [
        everything(number=1.5),
        everything(text=["abcd"]),
        everything(text=[{"b64": "AAAAAAAA"}]),
        everything(text=["a", "b", "c"]),
        {"signature_name": "all", "instances": [ROW] * 3},
        {"signature_name": "all", "inputs": {name: [] for name in ROW}},
        {"inputs": [1] * 4},
    ],
    ids=str,
)
def test_what_a_bound_refuses_does_not_fit(body):
    assert not fits(body)


@pytest.mark.parametrize("by_rows", [True, False])
@pytest.mark.parametrize(
    "outputs",
    [
        {"y": np.array([np.nan, 1], np.float32)},
        {
            "text": np.array([b"a"], object),
            "image_bytes": np.array([b"\xff"], object),
            "flag": np.array([[True]]),
        },
        {"any": np.zeros((1, 2, 3), np.float32)},
    ],
    ids=lambda outputs: next(iter(outputs)),
)
def test_an_answer_fits(outputs, by_rows):
    (signature,) = (sides for sides in SIGNATURES.values() if set(sides["outputs"]) == set(outputs))
    schema = response_schema({"one": signature})
    jsonschema.validate(json.loads(rest.write_predictions(outputs, by_rows)), schema)


def test_an_answer_with_another_dtype_does_not_fit():
    schema = response_schema({"one": SIGNATURES["serving_default"]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"predictions": ["a"]}, schema)

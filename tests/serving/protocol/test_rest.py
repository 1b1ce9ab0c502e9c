import json

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from hypothesis import given, strategies
from hypothesis.extra import numpy as arrays

from ikelos.serving.protocol.rest import (
    STATUS,
    from_json,
    holds_bytes,
    model_path,
    read_error,
    read_predict,
    read_predictions,
    to_lists,
    to_request,
    to_response,
    write_error,
    write_predict,
    write_predictions,
)

VALUES = [["a", "é".encode()], [b"\xff\x00", 1.5], b"", None]
X = {"x": ("float32", (None,))}
NAMED = {"signal": ("float32", (None, 2)), "sensor": ("string", (None,))}


def _strings(*values):
    return np.array(values, object)


def test_a_request_takes_text_as_it_is_and_other_bytes_as_base64():
    assert to_request(VALUES) == [["a", "é"], [{"b64": "/wA="}, 1.5], "", None]


def test_a_response_gives_bytes_by_the_name_of_the_output():
    assert not holds_bytes("image")
    assert to_response("image", VALUES) == [["a", "é"], ["\ufffd\x00", 1.5], "", None]
    assert holds_bytes("image_bytes")
    assert to_response("image_bytes", VALUES) == [
        ["a", {"b64": "w6k="}],
        [{"b64": "/wA="}, 1.5],
        {"b64": ""},
        None,
    ]
    assert from_json(to_response("image_bytes", VALUES)) == VALUES


def test_objects_are_bytes():
    assert from_json([["a", {"b64": "/wA="}], [1, None]]) == [["a", b"\xff\x00"], [1, None]]


@pytest.mark.parametrize("wrong", [{}, {"base64": "/wA="}, {"b64": "?"}, {"b64": "/wA"}, {"b64": 3}, {"b64": None}])
def test_other_objects_are_refused(wrong):
    with pytest.raises(ValueError, match=r'an object must be \{"b64": "..."\} in base64'):
        from_json([["a", wrong]])


# Bodies of TensorFlow Serving's documentation, but for the numbers of its sensors.
@pytest.mark.parametrize(
    ("body", "specs", "by_rows", "expected"),
    [
        (b'{"instances": [1.0, 2.0, 5.0]}', X, True, {"x": [1, 2, 5]}),
        (b'{"instances": [{"b64": "/w=="}]}', {"x_bytes": ("string", (None,))}, True, {"x_bytes": [b"\xff"]}),
        (b'{"instances": [[1, 2], [3, 4]]}', {"x": ("int32", (None, 2))}, True, {"x": [[1, 2], [3, 4]]}),
        (
            b'{"instances": [{"signal": [1, 2], "sensor": "a"}, {"sensor": {"b64": "/w=="}, "signal": [3, 4.5]}]}',
            NAMED,
            True,
            {"signal": [[1, 2], [3, 4.5]], "sensor": [b"a", b"\xff"]},
        ),
        (b'{"instances": [{"x": 1}]}', X, True, {"x": [1]}),
        (b'{"inputs": [NaN, Infinity, -Infinity, 1e-3]}', X, False, {"x": [np.nan, np.inf, -np.inf, 1e-3]}),
        (b'{"inputs": {"x": [1]}, "other": 3}', X, False, {"x": [1]}),
        (b'{"inputs": {"b64": "/w=="}}', {"x": ("string", ())}, False, {"x": b"\xff"}),
        (
            b'{"inputs": {"signal": [[1, 2]], "sensor": ["\xc3\xa9"]}}',
            NAMED,
            False,
            {"signal": [[1, 2]], "sensor": ["é".encode()]},
        ),
    ],
)
def test_requests_by_rows_and_by_columns(body, specs, by_rows, expected):
    request = read_predict(body)
    assert (request.signature, request.by_rows) == ("serving_default", by_rows)
    found = request.arrays(specs)
    assert list(found) == list(specs)
    for name, array in found.items():
        assert array.dtype == (object if specs[name][0] == "string" else specs[name][0])
        np.testing.assert_array_equal(array, np.array(expected[name], array.dtype))


def test_the_signature_is_named_or_the_default():
    assert read_predict(b'{"signature_name": "generate", "inputs": []}').signature == "generate"
    assert read_predict(b'{"signature_name": "", "inputs": []}').signature == "serving_default"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body must be JSON. Received: Expecting value"),
        (b'{"inputs": ["\xff"]}', "The body must be JSON. Received: 'utf-8' codec"),
        (b"[" * 10**6, "nested too deeply"),
        (b'{"inputs": ' + b"1" * 5000 + b"}", "The body must be JSON. Received: Exceeds the limit"),
        (b"[1]", r"The body must be a JSON object. Received: \[1\]"),
        (b"{}", r"must have either `instances` or `inputs`. Received: \[\]"),
        (b'{"inputs": [1], "instances": [1]}', r"either `instances` or `inputs`. Received: \['inputs', 'instances'\]"),
        (b'{"instances": []}', "`instances` must be a list with at least one row. Received: \\[\\]"),
        (b'{"instances": {"x": 1}}', "`instances` must be a list"),
        (b'{"inputs": [1], "signature_name": 3}', "`signature_name` must be a string. Received: 3"),
    ],
)
def test_refuses_bodies(body, message):
    with pytest.raises(ValueError, match=message):
        read_predict(body)


@pytest.mark.parametrize(
    ("body", "specs", "message"),
    [
        (b'{"inputs": {"y": [1]}}', X, r"The inputs must be \['x'\]. Received: \['y'\]"),
        (b'{"inputs": {"signal": [[1, 2]]}}', NAMED, r"The inputs must be \['sensor', 'signal'\]"),
        (b'{"inputs": [1]}', NAMED, r"must be an object with the keys \['sensor', 'signal'\]. Received: \[1\]"),
        (b'{"instances": [1, {"x": 1}, {"y": 1}]}', X, r"Row 3 must have the inputs \['x'\]. Received: \['y'\]"),
        (b'{"instances": [1, [2]]}', X, "input 'x' must be float32 values in lists of equal lengths"),
        (b'{"instances": [{"b64": "!"}]}', X, "input 'x': an object must be"),
        (b'{"inputs": ["a"]}', X, "input 'x' must hold float32 values"),
        (b'{"inputs": [null]}', X, "input 'x' must hold float32 values. Received: values of dtype object"),
        (b'{"inputs": [true]}', X, "input 'x' must hold float32 values. Received: values of dtype bool"),
        (b'{"inputs": [1e39]}', X, "input 'x' must fit into float32"),
        (b'{"inputs": [[1]]}', X, r"input 'x' must have shape \(any,\). Received: shape \(1, 1\)"),
        (b'{"inputs": [1.5]}', {"x": ("int32", (None,))}, "input 'x' must hold int32 values"),
        (b'{"inputs": [1]}', {"x": ("string", (None,))}, r"input 'x' must hold str or bytes. Received: 1"),
        (b'{"inputs": ["\\ud800"]}', {"x": ("string", (None,))}, "input 'x' must hold text that UTF-8 can encode"),
        (b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}", X, "input 'x' must|must not be nested so deeply"),
    ],
)
def test_refuses_values(body, specs, message):
    with pytest.raises(ValueError, match=message):
        read_predict(body).arrays(specs)


@given(strategies.binary() | strategies.text().map(str.encode))
def test_any_body_is_read_or_refused(body):
    for text in (body, b'{"inputs": %s}' % body, b'{"instances": [%s]}' % body):
        try:
            found = read_predict(text).arrays(X)
        except ValueError:
            continue
        assert found["x"].dtype == np.float32


@given(arrays.arrays(np.float32, strategies.tuples(strategies.integers(0, 4), strategies.integers(0, 3))))
def test_floats_survive_a_request_and_a_response(array):
    specs = {"x": ("float32", (None, array.shape[1]))}
    if array.size:
        found = read_predict(write_predict("f", {"x": array}))
        assert (found.signature, found.by_rows) == ("f", False)
        np.testing.assert_array_equal(found.arrays(specs)["x"], array)
    response = read_predictions(write_predictions({"x": array}, by_rows=False), specs)
    np.testing.assert_array_equal(response["x"], array)
    assert response["x"].shape == array.shape


def test_bytes_survive_a_request_and_a_response():
    values = {"text": _strings("é".encode(), b""), "image_bytes": _strings(b"\xff\x00", b"a")}
    specs = {"text": ("string", (None,)), "image_bytes": ("string", (None,))}
    for found in (
        read_predict(write_predict("f", values)).arrays(specs),
        read_predictions(write_predictions(values, by_rows=False), specs),
    ):
        assert {name: array.tolist() for name, array in found.items()} == {
            name: array.tolist() for name, array in values.items()
        }


def test_text_that_is_not_utf8_is_read_as_tensorflow_serving_writes_it():
    found = read_predictions(b'{"outputs": ["a\xff\\u00e9"]}', {"text": ("string", (None,))})
    assert found["text"].tolist() == [b"a\xff\xc3\xa9"]


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([0.2, 1, 3e-5, 9e6], np.float32), "0.2,1.0,3e-05,9000000.0"),
        (np.array([np.nan, np.inf, -np.inf], np.float32), "NaN,Infinity,-Infinity"),
        (np.array([0.1, 1 / 3]), "0.1,0.3333333333333333"),
        (np.array([0.1, 65504], np.float16), "0.099975586,65504.0"),
        (np.array([0.1], ml_dtypes.bfloat16), "0.100097656"),
        (np.array([2**64 - 1], np.uint64), "18446744073709551615"),
        (np.array([True, False]), "true,false"),
    ],
)
def test_numbers_have_the_digits_that_they_need(array, text):
    assert write_predictions({"y": array}, by_rows=False) == f'{{"outputs":[{text}]}}'.encode()
    np.testing.assert_array_equal(np.array(to_lists(array), array.dtype), array)
    # TensorFlow reads the same number from these digits.
    if array.dtype == np.float32:
        read = tf.strings.to_number(text.replace("Infinity", "inf").split(","), tf.float32)
        np.testing.assert_array_equal(read, array)


Y, Z = np.array([[1, 2], [3, 4]], np.int32), _strings(b"a", "é".encode())


@pytest.mark.parametrize(
    ("outputs", "by_rows", "expected"),
    [
        ({"y": Y}, True, {"predictions": [[1, 2], [3, 4]]}),
        ({"y": Y}, False, {"outputs": [[1, 2], [3, 4]]}),
        ({"y": Y, "z": Z}, True, {"predictions": [{"y": [1, 2], "z": "a"}, {"y": [3, 4], "z": "é"}]}),
        ({"y": Y, "z": Z}, False, {"outputs": {"y": [[1, 2], [3, 4]], "z": ["a", "é"]}}),
        ({"z_bytes": Z}, True, {"predictions": [{"b64": "YQ=="}, {"b64": "w6k="}]}),
        ({"y": np.int32(3) * np.ones((), np.int32)}, False, {"outputs": 3}),
    ],
)
def test_responses_by_rows_and_by_columns(outputs, by_rows, expected):
    assert json.loads(write_predictions(outputs, by_rows)) == expected


@pytest.mark.parametrize("outputs", [{"y": Y, "z": Y[:1]}, {"y": np.array(3, np.int32)}])
def test_outputs_that_have_no_common_rows_are_refused(outputs):
    with pytest.raises(ValueError, match="the outputs must have the same number of rows"):
        write_predictions(outputs, by_rows=True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"predictions": [1]}', "The response must have `outputs`"),
        (b'{"outputs": {"signal": [[1, 2]]}}', r"must have the outputs \['sensor', 'signal'\]. Missing: \['sensor'\]"),
        (b'{"outputs": {"signal": [[1]], "sensor": ["a"]}}', r"output 'signal' must have shape \(any, 2\)"),
        (b"<html>", "The body must be JSON"),
    ],
)
def test_refuses_responses(body, message):
    with pytest.raises(ValueError, match=message):
        read_predictions(body, NAMED)


def test_errors():
    assert json.loads(write_error('no "x"\udcff')) == {"error": 'no "x"\udcff'}
    assert read_error(write_error("é")) == "é"
    assert read_error(b'{ "error": "it\\\'s" }') == '{ "error": "it\\\'s" }'  # TensorFlow Serving 1 escapes as C does
    assert read_error(b"<html>\xff" + b"a" * 5000).startswith("<html>\ufffdaaa")
    assert len(read_error(b"a" * 5000)) == 1000


def test_paths():
    assert model_path("lm") == "/v1/models/lm"
    assert model_path("a b/c") == "/v1/models/a%20b%2Fc"
    assert model_path("lm", version=3) == "/v1/models/lm/versions/3"
    assert model_path("lm", label="stable") == "/v1/models/lm/labels/stable"
    assert model_path("lm", label="a/b") == "/v1/models/lm/labels/a%2Fb"


def test_every_code_of_grpc_has_a_status():
    assert set(STATUS) == {code.name for code in StatusCode}


@pytest.mark.parametrize("by_rows", [False, True])
def test_text_that_is_not_utf8_is_written_as_it_is(by_rows):
    body = write_predictions({"text": np.array([b"\xff!", "é".encode()], object)}, by_rows)
    assert body.endswith(b':["\xff!","\xc3\xa9"]}')
    if not by_rows:
        found = read_predictions(body, {"text": ("string", (None,))})
        assert found["text"].tolist() == [b"\xff!", "é".encode()]

import base64
import json
import shutil

import ml_dtypes
import numpy as np
import pytest

from ikelos.serving import CheckFailed, stock_check
from ikelos.serving.card import FILE
from ikelos.serving.check import run_check
from ikelos.serving.compare import TOLERANCE_ULPS, difference
from ikelos.serving.values import DTYPES


@pytest.fixture
def copy(version, tmp_path):
    """Returns a copy without the card, whose checksums would tell that a test has changed it."""
    folder = shutil.copytree(version, tmp_path / "copy")
    (folder / FILE).unlink()
    return folder


def expected_file(version):
    return version / "assets.extra" / "ikelos_expected.json"


def test_a_good_version(version):
    report = stock_check(version)
    assert report.keys() == {"serving_default", "tokens", "shout"}
    assert report["shout"] == {"text": 0.0, "length": 0.0}
    assert 0 <= report["serving_default"]["scores"] < 1e-6


def test_a_check_that_hangs_is_ended(version):
    with pytest.raises(CheckFailed, match=f"The stock check of {version} did not end within 0.01 s"):
        stock_check(version, timeout=0.01)


def test_an_op_that_a_stock_server_lacks(copy):
    graph = (copy / "saved_model.pb").read_bytes()
    assert b"Softplus" in graph
    (copy / "saved_model.pb").write_bytes(graph.replace(b"Softplus", b"Hardplus"))
    with pytest.raises(CheckFailed, match=r"cannot load .*copy: Op type not registered 'Hardplus'"):
        stock_check(copy)


def test_another_answer(copy):
    answers = json.loads(expected_file(copy).read_text())
    packed = answers["serving_default"]["scores"]
    scores = np.frombuffer(base64.b64decode(packed["base64"]), np.float32).copy()
    scores[4] += 0.25
    packed["base64"] = base64.b64encode(scores.tobytes()).decode()
    expected_file(copy).write_text(json.dumps(answers))
    message = r"Signature 'serving_default', output 'scores': differs .* by up to 0.25"
    with pytest.raises(CheckFailed, match=message):
        stock_check(copy)


def test_an_example_that_does_not_run(copy):
    path = copy / "assets.extra" / "ikelos_examples.json"
    path.write_text(path.read_text().replace('"times"', '"time"'))
    with pytest.raises(CheckFailed, match=r"Signature 'shout' does not run on its example: .*'times'"):
        run_check(copy)


def test_signatures_and_examples_must_agree(copy):
    path = copy / "assets.extra" / "ikelos_examples.json"
    examples = json.loads(path.read_text())
    del examples["tokens"]
    path.write_text(json.dumps(examples))
    with pytest.raises(CheckFailed, match=r"has the signatures .*'tokens'\] but examples of \['serving_"):
        run_check(copy)


def test_no_version_of_ours(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"a model")
    with pytest.raises(CheckFailed, match=r"ikelos_examples.json: was it written by ikelos.serving.export?"):
        stock_check(tmp_path)


def test_a_process_with_python_tensorflow_proves_nothing(version):
    with pytest.raises(CheckFailed, match="process that does not import tensorflow"):
        run_check(version)


FLOATS = np.array([1.0, -2e6, np.inf, -np.inf, np.nan, 0.0], np.float32)
EPS = float(np.finfo(np.float32).eps)


def test_floats_within_the_tolerance():
    assert difference("x", FLOATS, FLOATS) == 0
    near = FLOATS * np.float32(1 + 100 * EPS)
    assert difference("x", near, FLOATS) == pytest.approx(2e6 * 100 * EPS, rel=0.01)
    assert difference("x", np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)) == 0


@pytest.mark.parametrize("index", range(len(FLOATS)))
def test_floats_beyond_the_tolerance(index):
    far = FLOATS.copy()
    far[index] = 3 * TOLERANCE_ULPS * EPS + (FLOATS[index] * (1 + 3 * TOLERANCE_ULPS * EPS) if index in (0, 1) else 0)
    with pytest.raises(CheckFailed, match="x: differs from Python's answer by up to"):
        difference("x", far, FLOATS)


@pytest.mark.parametrize(
    ("received", "expected", "message"),
    [
        (np.array([1, 2, 4]), np.array([1, 2, 3]), r"x: 1 of 3 values differ .* index 2: expected .*3.*4"),
        (np.array([b"a"], object), np.array([b"b"], object), "x: 1 of 1 values differ .*b'b'.*b'a'"),
        (np.array([1]), np.array([1], np.int32), r"x: expected int32 of shape \(1,\).*int64"),
        (np.zeros((2, 1)), np.zeros(2), r"x: expected float64 of shape \(2,\).*\(2, 1\)"),
    ],
)
def test_what_must_be_the_same(received, expected, message):
    with pytest.raises(CheckFailed, match=message):
        difference("x", received, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_outputs_in_half_precision_are_compared_in_its_units(dtype):
    dtype = DTYPES[dtype][1]
    ulp = float(ml_dtypes.finfo(dtype).eps)
    expected = np.ones(3, dtype)
    assert difference("y", (expected + dtype.type(8 * ulp)).astype(dtype), expected) == pytest.approx(8 * ulp)
    with pytest.raises(CheckFailed, match=r"y: differs from Python's answer by up to"):
        difference("y", (expected + dtype.type(64 * ulp)).astype(dtype), expected)

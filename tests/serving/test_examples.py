import json

import numpy as np
import tensorflow as tf

from ikelos.serving import Signature
from ikelos.serving.examples import read_examples, read_expected, write_examples


def test_round_trip(tmp_path):
    text = ["plain", "é", b"\xff\x00"]
    signature = Signature(
        "serving_default",
        lambda text, n: {},
        {"text": tf.TensorSpec([None], tf.string), "n": tf.TensorSpec([None, 1], tf.float32)},
        {"text": text, "n": [[0.1], [1], [-2]]},
        "A line.",
    )
    expected = {
        "serving_default": {
            "x": np.array([[np.nan, -0.0], [np.inf, 0.1]], np.float32),
            "n": np.array([2**63 - 1, -(2**63)]),
            "none": np.zeros((0, 3), np.uint8),
            "text": np.array([[b"", b"a\x00"], [b"\xff", b"b" * 100]], object),
            "yes": np.array([True, False]),
        }
    }
    write_examples(tmp_path, [signature], expected)

    stored = json.loads((tmp_path / "assets.extra" / "ikelos_examples.json").read_text())
    assert stored["serving_default"]["doc"] == "A line."
    # As TF Serving's REST API takes them.
    assert stored["serving_default"]["inputs"]["text"] == ["plain", "é", {"b64": "/wA="}]
    example = read_examples(tmp_path)["serving_default"]
    assert example["inputs"]["text"] == text
    np.testing.assert_array_equal(np.float32(example["inputs"]["n"]), np.float32([[0.1], [1], [-2]]))

    read = read_expected(tmp_path)["serving_default"]
    assert set(read) == set(expected["serving_default"])
    for name, array in expected["serving_default"].items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        same = read[name].tolist() == array.tolist() if array.dtype == object else None
        assert same or read[name].tobytes() == array.tobytes()

import os

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import requests
from ikelos.serving.protocol.messages import PredictionLog


@pytest.fixture
def log(tmp_path):
    """Writes requests, dicts of values by input, into a log of this name."""

    def write(name, *requests):
        (tmp_path / "logs").mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(tmp_path / "logs" / name)) as writer:
            for request in requests:
                log = PredictionLog()
                for key, value in request.items():
                    tensor = tf.make_tensor_proto(value)
                    log.predict_log.request.inputs[key].ParseFromString(tensor.SerializeToString())
                writer.write(log.SerializeToString())

    return write


@pytest.fixture
def rows(tmp_path):
    """The examples that logged requests become, in their order; `limited` are the features that they must give."""

    def read(kinds, *limited):
        path = tmp_path / "rows"
        number = requests.write([f"{tmp_path}/logs"], kinds, limited, path)
        found = [
            tf.train.Example.FromString(content) for content in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        ]
        assert len(found) == number
        return [
            {
                name: [*value.bytes_list.value, *value.int64_list.value]
                for name, value in example.features.feature.items()
            }
            for example in found
        ]

    return read


TEXT = {"id": bytes, "bytes": int, "text": bytes, "start": int}
IMAGE = {"id": bytes, "bytes": int, "image": bytes, "label": bytes, "label_number": int}


def test_each_row_of_a_request_is_an_example(log, rows):
    log("2", {"text": ["é"]})
    log("1", {"text": ["ab", ""]}, {"prompt": ["not compared"], "length": [3]}, {"text": ["c"], "start": [7]})
    assert rows(TEXT, "text", "bytes") == [
        {"text": [b"ab"], "bytes": [2]},
        {"text": [b""], "bytes": [0]},
        {"text": [b"c"], "bytes": [1], "start": [7]},
        {"text": ["é".encode()], "bytes": [2]},
    ]


def test_only_inputs_of_the_kind_of_a_feature_are_compared(log, rows):
    pixels = np.zeros([2, 8, 8, 1], "float32")
    log("1", {"image": pixels, "label": [0, 1]}, {"image_bytes": [b"\xff\x00", b""], "label": [0, 1], "bytes": [5, 6]})
    assert rows(IMAGE, "image") == [{"image": [b"\xff\x00"], "bytes": [2]}, {"image": [b""], "bytes": [0]}]
    log("1", {"image_bytes": [b"xy"], "label": ["cat"]})
    assert rows(IMAGE) == [{"image": [b"xy"], "label": [b"cat"], "bytes": [2]}]  # names have no size
    log("1", {"image": pixels, "label_number": [0, 1]})
    assert rows(IMAGE) == [{"label_number": [0]}, {"label_number": [1]}]


def test_features_that_no_request_gives_are_named(log, rows):
    log("1", {"text": ["a"], "label": [0]})
    with pytest.raises(UserError) as raised:
        rows(TEXT | {"label": bytes}, "text", "label", "id")
    assert str(raised.value) == (
        "`pipeline.skew.limits` must name features that the requests give: bytes, text (of the inputs label, text). "
        "Received: id, label"
    )
    log("1", {"prompt": ["a"]})
    with pytest.raises(UserError, match=r"the requests give: there are none \(of the inputs prompt\)"):
        rows(TEXT, "text")


def test_no_requests_are_no_rows(log, rows):
    assert rows(TEXT, "text") == []
    log("1")
    assert rows(TEXT, "text") == []


def test_a_log_of_something_else_is_refused(log, rows, tmp_path):
    log("1", {"text": ["a"]})
    (tmp_path / "logs" / "2").write_text("a line of another log. " * 10)
    with pytest.raises(
        UserError, match=r"`pipeline\.skew\.requests` must match logs of requests only: .*/2 must have undamaged"
    ):
        rows(TEXT, "text")
    log("2", {"text": ["a", "b"], "start": [1]})
    with pytest.raises(
        UserError,
        match=r"/2 must have requests whose inputs have the same number of rows\. Received: start with 1, text with 2",
    ):
        rows(TEXT, "text")


def test_integers_beyond_64_bits_are_refused(log, rows):
    log("1", {"text": ["a"], "start": np.array([2**63], "uint64")})
    with pytest.raises(UserError, match=r"/1 must have integers below 2\^63\. Received: "):
        rows(TEXT)


def test_the_state_of_requests_changes_with_their_files(log, tmp_path):
    def state():
        return requests.state([f"{tmp_path}/logs/*"])

    states = [state()]
    log("1", {"text": ["a"]})
    states.append(state())
    log("2", {"text": ["a"]})
    states.append(state())
    os.utime(tmp_path / "logs" / "1", ns=(0, 0))
    states.append(state())
    assert len(set(states)) == 4
    assert state() == states[-1]

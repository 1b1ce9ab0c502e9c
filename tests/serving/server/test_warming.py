import shutil
import struct

import pytest
import tensorflow as tf

from ikelos.serving.server.warming import warm_up_requests

FILE = "assets.extra/tf_serving_warmup_requests"


def lists(path, examples):
    requests = warm_up_requests(path, examples)
    return [(signature, {name: list(value) for name, value in inputs.items()}) for signature, inputs in requests]


@pytest.fixture
def copied(version, tmp_path):
    return shutil.copytree(version, tmp_path / "1")


def test_the_requests_that_the_exporter_wrote(copied):
    words, texts = [b"to", b"be", b"other"], [b"Who's there?", b"Nay, answer me: stand, and unfold yourself."]
    loud = ["héllo".encode(), b"world"]
    assert lists(copied, {}) == [
        ("serving_default", {"words": words[:1]}),
        ("serving_default", {"words": [*words, *words, *words[:2]]}),
        ("tokens", {"text": texts[:1]}),
        ("tokens", {"text": 4 * texts}),
        ("shout", {"text": loud[:1], "times": [1]}),
        ("shout", {"text": 4 * loud, "times": 4 * [1, -2]}),
    ]


def test_the_examples_if_there_are_no_requests(copied):
    (copied / FILE).unlink()
    assert lists(copied, {"shout": {"doc": "", "inputs": {"text": ["a"], "times": [1]}}}) == [
        ("shout", {"text": ["a"], "times": [1]})
    ]


def test_requests_of_the_official_classes(copied):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.5, 2.5]))
    classify = prediction_log_pb2.PredictionLog()
    classify.classify_log.request.model_spec.name = "m"
    with tf.io.TFRecordWriter(str(copied / FILE)) as writer:
        writer.write(classify.SerializeToString())
        writer.write(log.SerializeToString())
    assert lists(copied, {}) == [("serving_default", {"x": [1.5, 2.5]})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x01", "complete TFRecords. Received: the last one is cut off"),
        (struct.pack("<Q4x", 2**40), "complete TFRecords. Received: the last one is cut off"),
        (struct.pack("<Q4x1s4x", 1, b"\xff"), "a PredictionLog in each record. Received: record 1"),
        (struct.pack("<Q8x", 0) * 1001, "at most 1000 records"),
    ],
)
def test_damaged_files(copied, content, message):
    (copied / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        lists(copied, {})

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from ikelos.serving import prediction_log
from ikelos.serving.warmup import BATCH_SIZES


@pytest.fixture
def log(tmp_path):
    """Writes requests, dicts of values by input, into a file as TensorFlow Serving logs them; returns the file."""

    def record(request):
        message = PredictionLog()
        made = message.predict_log.request
        made.model_spec.signature_name = "serving_default"
        for name, value in request.items():
            made.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return message.SerializeToString()

    def write(*requests):
        path = tmp_path / "log"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for request in requests:
                writer.write(record(request) if isinstance(request, dict) else request)
        return path

    return write


def test_requests_come_back(log):
    written = [
        {"text": ["a", "bc"], "seed": [3, -4]},
        {"image": np.zeros([2, 1, 2, 1], "float32"), "image_bytes": [b"\xff", b""]},
    ]
    found = list(prediction_log.requests(log(*written)))
    assert len(found) == 2
    assert (found[0]["text"].tolist(), found[0]["seed"].tolist()) == ([b"a", b"bc"], [3, -4])
    assert (found[1]["image"].shape, found[1]["image_bytes"].tolist()) == ((2, 1, 2, 1), [b"\xff", b""])


def test_warm_up_requests_are_a_log(version, signatures):
    found = list(prediction_log.requests(version / "assets.extra" / "tf_serving_warmup_requests"))
    assert len(found) == len(signatures) * len(BATCH_SIZES)
    for inputs, signature in zip(found[:: len(BATCH_SIZES)], signatures, strict=True):
        arrays = signature.example_arrays()
        assert inputs.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(inputs[name], array[:1])


def test_a_record_that_is_being_written_is_left_out(log):
    path = log({"text": ["a"]}, {"text": ["b"]})
    content = path.read_bytes()
    for missing in (1, len(content) // 2 - 3):
        path.write_bytes(content[:-missing])
        assert [request["text"].tolist() for request in prediction_log.requests(path)] == [[b"a"]]


def test_a_damaged_record_is_refused(log):
    path = log({"text": ["a"]}, {"text": ["b"]}, {"text": ["c"]})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"log must have undamaged TFRecords\. Received: a damaged record 2"):
        list(prediction_log.requests(path))


@pytest.mark.parametrize("record", [b"", tf.train.Example().SerializeToString(), b"\x32\x00", b"text", b"\xff" * 20])
def test_a_record_of_another_kind_is_refused(log, record):
    path = log({"text": ["a"]}, record)
    with pytest.raises(
        ValueError, match=r"must have a PredictionLog with a `predict_log` in each record\. .* record 2 "
    ):
        list(prediction_log.requests(path))


def test_what_is_no_log_is_refused(log, tmp_path):
    (tmp_path / "log").write_bytes(b"eleven byte")
    with pytest.raises(ValueError, match=r"log must have undamaged TFRecords\. Received: a damaged record 1"):
        list(prediction_log.requests(tmp_path / "log"))
    (tmp_path / "log").write_bytes(b"")
    assert list(prediction_log.requests(tmp_path / "log")) == []
    record = PredictionLog()
    record.predict_log.request.inputs["text"].SetInParent()  # a tensor without a dtype
    with pytest.raises(ValueError, match=r"must have a PredictionLog .* Received: record 1 "):
        list(prediction_log.requests(log(record.SerializeToString())))

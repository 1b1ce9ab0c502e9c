import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from ikelos.serving import Signature
from ikelos.serving.warmup import BATCH_SIZES, write_warmup


def requests(version):
    """Yields the signature and the inputs of each request."""
    for record in tf.data.TFRecordDataset(str(version / "assets.extra" / "tf_serving_warmup_requests")):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        yield (
            request.model_spec.signature_name,
            {name: tf.make_ndarray(value) for name, value in request.inputs.items()},
        )


def test_a_request_for_every_signature_and_batch_size(version, signatures):
    found = list(requests(version))
    assert [name for name, _ in found] == [signature.name for signature in signatures for _ in BATCH_SIZES]
    for (_, tensors), signature, rows in zip(
        found, [x for x in signatures for _ in BATCH_SIZES], BATCH_SIZES * len(signatures), strict=True
    ):
        arrays = signature.example_arrays()
        assert set(tensors) == set(arrays)
        for name, array in arrays.items():
            expected = [array[row % len(array)] for row in range(rows)]
            np.testing.assert_array_equal(tensors[name], np.array(expected, array.dtype))


def test_no_request_has_more_rows_than_the_signature_takes(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    x = {"x": tf.TensorSpec([None], tf.float32)}
    signature = Signature("f", lambda x: {"y": x}, x, {"x": [1.0, 2.0]}, "A test.", max_rows=4)
    write_warmup(tmp_path, [signature], [1, 3, 5])
    assert [tensors["x"].tolist() for _, tensors in requests(tmp_path)] == [[1], [1, 2, 1]]

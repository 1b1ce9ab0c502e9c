import dataclasses

import pytest

from ikelos.serving.deploy import Batching, Settings

BATCHING = Batching(0, 2, 64, False)
SETTINGS = Settings(1, BATCHING, 2.0, 4.0, 1, 4, 70, 16, 60, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_timeout_micros": -1}, "`batch_timeout_micros` must be at least 0. Received: batch_timeout_micros=-1"),
        ({"num_batch_threads": 0}, "`num_batch_threads` must be at least 1"),
        ({"max_enqueued_batches": 0}, "`max_enqueued_batches` must be at least 1"),
    ],
)
def test_batching_that_tensorflow_serving_refuses_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BATCHING, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": 0}, "`versions` must be at least 1"),
        ({"cpus": 0.0}, "`cpus` must be at least 0.01. Received: cpus=0.0"),
        ({"memory_gib": float("nan")}, "`memory_gib` must be at least 0.01"),
        ({"replicas": 5}, "`max_replicas` must be at least 5. Received: max_replicas=4"),
        ({"poll_seconds": 0}, "`poll_seconds` must be at least 1"),
    ],
)
def test_a_number_out_of_its_range_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **changes)

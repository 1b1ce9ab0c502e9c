import dataclasses

import pytest

from ikelos.serving.deploy import Batching, Settings

BATCHING = Batching(8, 0, (1, 4, 8), 2, 64, False)
SETTINGS = Settings(1, BATCHING, 2.0, 4.0, 1, 4, 70, 16, 60, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_batch_size": 0}, "`max_batch_size` must be at least 1. Received: max_batch_size=0"),
        ({"batch_timeout_micros": -1}, "`batch_timeout_micros` must be at least 0"),
        ({"num_batch_threads": 0}, "`num_batch_threads` must be at least 1"),
        ({"max_enqueued_batches": 0}, "`max_enqueued_batches` must be at least 1"),
        ({"allowed_batch_sizes": (4, 1, 8)}, "`allowed_batch_sizes` must be positive and in increasing order"),
        ({"allowed_batch_sizes": (0, 8)}, "`allowed_batch_sizes` must be positive and in increasing order"),
        ({"allowed_batch_sizes": (4, 4, 8)}, "`allowed_batch_sizes` must be positive and in increasing order"),
        ({"allowed_batch_sizes": (1, 4)}, "`allowed_batch_sizes` must end with `max_batch_size`, 8. Received: .*1, 4"),
    ],
)
def test_batching_that_tensorflow_serving_refuses_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BATCHING, **changes)


def test_batches_of_every_size_may_be_allowed():
    assert dataclasses.replace(BATCHING, allowed_batch_sizes=()).allowed_batch_sizes == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": 0}, "`versions` must be at least 1"),
        ({"cpus": 0.0}, "`cpus` must be greater than 0. Received: cpus=0.0"),
        ({"memory_gib": float("nan")}, "`memory_gib` must be greater than 0"),
        ({"replicas": 5}, "`max_replicas` must be at least 5. Received: max_replicas=4"),
        ({"poll_seconds": 0}, "`poll_seconds` must be at least 1"),
    ],
)
def test_a_number_out_of_its_range_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **changes)

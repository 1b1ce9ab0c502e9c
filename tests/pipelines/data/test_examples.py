import dataclasses

import numpy as np
import pytest

from ikelos.pipelines.data.examples import Examples, batches, feed, in_order
from ikelos.pipelines.errors import UserError


@pytest.fixture
def seven():
    numbers = np.arange(7, dtype=np.uint8)
    return Examples([str(i) for i in range(7)], {"number": numbers.reshape(7, 1, 1), "parity": numbers.astype(int) % 2})


def take(dataset, count):
    return list(dataset.take(count).as_numpy_iterator())


def test_each_example_once_an_epoch_in_new_orders(seven):
    ids = np.concatenate([batch["id"] for batch in take(batches(seven, 3, seed=5, start_step=0), 14)])
    epochs = ids.reshape(6, 7)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(7), [6, 1]))
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_a_batch_is_a_function_of_its_step(seven):
    whole = take(batches(seven, 3, seed=5, start_step=0), 5)
    later = take(batches(seven, 3, seed=5, start_step=3), 2)
    for batch, expected in zip(later, whole[3:], strict=True):
        for name, value in expected.items():
            np.testing.assert_array_equal(batch[name], value)
    other = take(batches(seven, 3, seed=6, start_step=0), 5)
    assert any((a["id"] != b["id"]).any() for a, b in zip(whole, other, strict=True))


def test_a_batch_has_what_belongs_together(seven):
    (batch,) = take(batches(seven, 3, seed=5, start_step=2), 1)
    np.testing.assert_array_equal(batch["draw"], [6, 7, 8])
    np.testing.assert_array_equal(batch["number"][:, 0, 0], batch["id"])
    np.testing.assert_array_equal(batch["parity"], batch["id"] % 2)
    assert batch["number"].dtype == np.uint8


def test_in_order(seven):
    found = list(in_order(seven, 3).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([batch["id"] for batch in found]), np.arange(7))
    assert [len(batch["number"]) for batch in found] == [3, 3, 1]
    np.testing.assert_array_equal(found[2]["draw"], [6])


def test_refuses_a_batch_of_nothing(seven):
    with pytest.raises(UserError, match=r"batch_size must be at least 1. Received: batch_size=0"):
        batches(seven, 0, seed=0, start_step=0)


def test_a_feed_takes_training_in_turns_and_validation_in_order(seven):
    class Training:
        batch_size, seed = 3, 5

    fed = feed({"train": seven, "validation": seven}, Training, lambda batch: batch | {"x": batch["number"] + 1})
    (batch,) = take(fed.train(2), 1)
    np.testing.assert_array_equal(batch["draw"], [6, 7, 8])
    np.testing.assert_array_equal(batch["x"][:, 0, 0], batch["id"] + 1)
    assert [len(batch["x"]) for batch in fed.validation.as_numpy_iterator()] == [3, 3, 1]
    assert (fed.units_per_step, fed.units) == (3, 7)


def test_the_sum_is_of_ids_names_types_and_values(seven):
    changes = [
        {"ids": ["x", *seven.ids[1:]]},
        {"features": {**seven.features, "parity": 1 - seven.features["parity"]}},
        {"features": {**seven.features, "number": seven.features["number"].astype(np.int8)}},
        {"features": {"other": seven.features["number"], "parity": seven.features["parity"]}},
    ]
    sums = {seven.sha256(), *(dataclasses.replace(seven, **change).sha256() for change in changes)}
    assert len(sums) == 5
    assert dataclasses.replace(seven, features=dict(seven.features)).sha256() == seven.sha256()

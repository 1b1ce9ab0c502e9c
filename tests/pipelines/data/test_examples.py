import re

import numpy as np
import pytest

from ikelos.pipelines.data.examples import batches, in_order
from ikelos.pipelines.data.order import Shard
from ikelos.pipelines.data.store import Column, Store
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.training.stage import feed, keras_batches


@pytest.fixture(scope="module")
def seven(store_of):
    numbers = np.arange(7, dtype=np.uint8)
    return store_of({"number": numbers.reshape(7, 1, 1), "parity": numbers.astype(int) % 2})


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


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_shards_of_a_batch_are_the_batch(seven, count):
    whole = take(batches(seven, 6, seed=5, start_step=1), 4)
    shards = [take(batches(seven, 6, 5, 1, Shard(index, count)), 4) for index in range(count)]
    for expected, *parts in zip(whole, *shards, strict=True):
        for name, value in expected.items():
            together = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(together, value, strict=True)


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


def test_ragged_columns_are_left_out(store_of):
    store = store_of({"x": np.arange(2), "words": [np.arange(3), np.arange(1)]})
    assert set(in_order(store, 2).element_spec) == {"id", "draw", "x"}


def test_refuses_a_batch_of_nothing(seven):
    with pytest.raises(UserError, match=r"`batch_size` must be at least 1. Received: batch_size=0"):
        batches(seven, 0, seed=0, start_step=0)


def test_a_feed_takes_training_in_turns_and_validation_in_order(seven):
    class Training:
        batch_size, seed = 3, 5

    fed = feed({"train": seven, "validation": seven}, Training, lambda batch: batch | {"x": batch["number"] + 1})
    (batch,) = take(fed.train(2, Shard(1, 3)), 1)
    np.testing.assert_array_equal(batch["draw"], [7])
    np.testing.assert_array_equal(batch["x"][:, 0, 0], batch["id"] + 1)
    assert [len(batch["x"]) for batch in fed.validation.as_numpy_iterator()] == [3, 3, 1]
    assert (fed.units_per_step, fed.units) == (3, 7)


def own_bytes():
    """Returns the bytes of the process's private memory, which excludes mapped pages of files that are only read."""
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", file.read()).group(1))


def test_a_large_column_stays_on_the_disk(tmp_path):
    count, size = 400, 1 << 19
    with (tmp_path / "x.bin").open("wb") as file:
        file.truncate(count * size)  # a sparse file of zeros, which takes no space on the disk
    store = Store(tmp_path, {"x": Column("uint8", (size,))}, count, [], {}, [], 0)
    before = own_bytes()
    for dataset in (batches(store, 4, seed=0, start_step=0), in_order(store, 4)):
        for batch in keras_batches(dataset.map(lambda batch: {"x": batch["x"]})).take(5):
            assert not batch.numpy().any()
    assert own_bytes() - before < 50e6 < count * size / 4


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_sizes_may_be_of_numpy(seven, kind):
    found = take(batches(seven, kind(4), kind(3), kind(1), Shard(kind(1), kind(2))), 2)
    expected = take(batches(seven, 4, 3, 1, Shard(1, 2)), 2)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one["id"], other["id"])
    assert [len(batch["id"]) for batch in in_order(seven, kind(4))] == [4, 3]
    assert Column("uint8", (kind(2),)).shape == (2,)
    with pytest.raises(TypeError):
        in_order(seven, 2.0)

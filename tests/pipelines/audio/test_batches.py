import numpy as np
import pytest

from ikelos.pipelines.audio import batches
from ikelos.pipelines.audio.examples import Examples
from ikelos.pipelines.data.order import Shard
from ikelos.pipelines.data.store import Ragged
from ikelos.pipelines.errors import UserError

AUDIO = Ragged.of([np.full(length, length, np.int16) for length in (5, 9, 3, 12, 7, 4)])
TOKENS = Ragged.of([np.array([4 + row] * (row + 1) + [2], np.uint16) for row in range(6)])
EXAMPLES = Examples.of(np.array([0, 1, 2, 2, 2, 4, 5]), TOKENS)


def take(dataset, number):
    return list(dataset.take(number).as_numpy_iterator())


def check(batch, boundary=None):
    audio, length, y = batch["x"]["audio"], batch["x"]["length"], batch["y"]
    np.testing.assert_array_equal(length, AUDIO.lengths[batch["id"]])
    for row, index in enumerate(batch["id"]):
        expected = np.pad(AUDIO[index] / 32768, [0, audio.shape[1] - length[row]])
        np.testing.assert_allclose(audio[row], expected, rtol=1e-6)
        np.testing.assert_array_equal(y[row], np.pad(TOKENS[index][:-1], [0, y.shape[1] - index - 1]))
        assert batch["sample_weight"][row] == index + 1
    assert boundary is None or audio.shape[1] in boundary


def test_batches_have_the_samples_and_tokens_of_their_recordings():
    for batch in take(batches.bucketed(AUDIO, EXAMPLES, [4, 9], 2, 0, 0), 20):
        check(batch, [4, 9])


def test_rows_are_drawn_as_often_as_they_are_named():
    drawn = np.concatenate([batch["id"] for batch in take(batches.bucketed(AUDIO, EXAMPLES, [4, 9], 2, 0, 0), 7)])
    # Every 7 steps draw each of the 7 entries as often as a batch has rows.
    assert np.bincount(drawn, minlength=6).tolist() == [2, 2, 6, 0, 2, 2]


def test_a_batch_depends_on_its_step_alone_and_shards_divide_it():
    whole = take(batches.bucketed(AUDIO, EXAMPLES, [4, 9], 2, 5, 0), 6)
    late = take(batches.bucketed(AUDIO, EXAMPLES, [4, 9], 2, 5, 4), 2)
    np.testing.assert_array_equal([batch["id"] for batch in whole[4:]], [batch["id"] for batch in late])
    shards = [take(batches.bucketed(AUDIO, EXAMPLES, [4, 9], 2, 5, 0, Shard(index, 2)), 6) for index in range(2)]
    for together, *parts in zip(whole, *shards, strict=True):
        np.testing.assert_array_equal(together["id"], np.concatenate([part["id"] for part in parts]))


def test_each_recording_comes_once_in_order():
    found = take(batches.in_order(AUDIO, TOKENS, np.arange(6), 4), 9)
    assert [batch["id"].tolist() for batch in found] == [[2, 5, 0, 4], [1, 3]]
    for batch in found:
        check(batch)
    with pytest.raises(UserError, match="`rows` must have a recording"):
        batches.in_order(AUDIO, TOKENS, np.arange(0), 4)


def test_recordings_of_one_example_are_heard_one_after_the_other():
    said = Ragged.of([np.array([9, 8, 2], np.uint16), np.array([7, 2], np.uint16)])
    several = Examples(Ragged.of([np.array([4, 2]), np.array([2, 0, 5])]), said, np.arange(2))
    (batch,) = take(batches.bucketed(AUDIO, several, [15], 4, 0, 0), 1)
    expected = {4: ([7] * 7 + [3] * 3 + [0] * 5, [9, 8]), 2: ([3] * 3 + [5] * 5 + [4] * 4 + [0] * 3, [7, 0])}
    assert sorted(batch["id"]) == [2, 2, 4, 4]
    for name, heard, length, y in zip(batch["id"], *batch["x"].values(), batch["y"], strict=True):
        samples, tokens = expected[name]
        assert (np.rint(heard * 32768).tolist(), y.tolist()) == (samples, tokens)
        assert length == np.count_nonzero(samples)
    weights = dict(zip(batch["id"], batch["sample_weight"], strict=True))
    assert weights == {4: 2, 2: 1}

import numpy as np
import pytest

from ikelos.pipelines.data.order import Shard
from ikelos.pipelines.sequences.problems import TEST, TRAIN, Adding, Copying, batches, one_batch_per_lag

LAGS = (3, 8)


def arrays(batch):
    return {name: value.numpy() for name, value in batch.items()}


def test_symbols_are_recalled_after_the_signal():
    for step, batch in zip(range(4), batches(Copying(5, 4), LAGS, 6, 0, TRAIN, 0), strict=False):
        found, lag = arrays(batch), LAGS[step % 2]
        x, y, weight = found["x"], found["y"], found["sample_weight"]
        assert x.shape == y.shape == weight.shape == (6, 8 + lag)
        symbols = x[:, :4]
        assert symbols.max() < 5
        assert (x[:, 4 + lag :] == 5).all()  # blanks
        np.testing.assert_array_equal(np.argwhere(x == 6)[:, 1], 4 + lag - 1)
        np.testing.assert_array_equal(y[:, 4 + lag :], symbols)
        np.testing.assert_array_equal(weight, np.broadcast_to(np.arange(8 + lag) >= 4 + lag, x.shape))


def test_rows_with_different_lags_have_their_own_signal():
    x = Copying(2, 1).inputs(np.array([[0], [1]]), np.array([2, 1])).numpy()
    np.testing.assert_array_equal(x, [[0, 2, 3, 2], [1, 3, 2, 2]])


def test_the_sum_is_that_of_a_number_in_each_half():
    for step, batch in zip(range(4), batches(Adding(0.04), LAGS, 50, 0, TRAIN, 0), strict=False):
        found, lag = arrays(batch), LAGS[step % 2]
        (values, marks), half = np.moveaxis(found["x"], -1, 0), lag // 2
        assert values.shape == (50, lag)
        assert (marks[:, :half].sum(axis=1) == 1).all()
        assert (marks[:, half:].sum(axis=1) == 1).all()
        np.testing.assert_allclose(found["y"][:, -1, 0], (values * marks).sum(axis=1), rtol=1e-6)
        np.testing.assert_array_equal(found["sample_weight"], np.broadcast_to(np.arange(lag) == lag - 1, values.shape))
        assert len(np.unique(np.argmax(marks, axis=1))) == half


@pytest.mark.parametrize("problem", [Copying(8, 5), Adding(0.04)])
def test_a_batch_depends_on_seed_stream_and_step_alone(problem):
    def batch(seed=0, stream=TRAIN, step=5, shard=None):
        options = {} if shard is None else {"shard": shard}
        return arrays(next(iter(batches(problem, LAGS, 8, seed, stream, step, **options))))

    first = arrays(list(batches(problem, LAGS, 8, 0, TRAIN, 0).take(6))[5])
    np.testing.assert_array_equal(first["x"], batch()["x"])
    halves = [batch(shard=Shard(index, 2))["x"] for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(halves), first["x"])
    for changed in (batch(seed=1), batch(stream=TEST), batch(step=7)):
        assert (changed["x"] != first["x"]).any()
    np.testing.assert_array_equal(first["id"], range(40, 48))
    assert [len(batch["x"][0]) for batch in one_batch_per_lag(problem, LAGS, 8, 0, TEST)] == [
        len(batch["x"][0]) for batch in batches(problem, LAGS, 8, 0, TEST, 0).take(2)
    ]

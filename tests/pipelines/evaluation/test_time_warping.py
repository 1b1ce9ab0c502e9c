import numpy as np
import pytest

from ikelos.pipelines.evaluation import time_warping


def by_recursion(ours, theirs):
    costs = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    total = np.full([len(ours) + 1, len(theirs) + 1], np.inf)
    total[0, 0] = 0
    for row in range(len(ours)):
        for column in range(len(theirs)):
            before = min(total[row, column], total[row, column + 1], total[row + 1, column])
            total[row + 1, column + 1] = costs[row, column] + before
    return total[-1, -1] / (len(ours) + len(theirs))


def drawn(*lengths):
    rng = np.random.default_rng(0)
    return [rng.normal(size=[length, 3]).astype("float32") for length in lengths]


def test_distances_are_those_of_the_recursion():
    ours, *theirs = drawn(7, 7, 1, 12, 4)
    expected = [by_recursion(ours, other) for other in theirs]
    np.testing.assert_allclose(time_warping.distances(ours, theirs), expected, rtol=1e-5)
    np.testing.assert_allclose(
        time_warping.distances(ours[:1], theirs), [by_recursion(ours[:1], x) for x in theirs], rtol=1e-5
    )


@pytest.mark.parametrize("at_once", [1, 200, 1 << 20])
def test_a_slower_recording_of_the_same_is_the_nearest(monkeypatch, at_once):
    monkeypatch.setattr(time_warping, "_AT_ONCE", at_once)
    ours, *theirs = drawn(9, 9, 8, 11)
    assert time_warping.distances(ours, [np.repeat(ours, 2, axis=0)]) == pytest.approx([0], abs=1e-3)
    assert time_warping.nearest(ours, [*theirs, np.repeat(ours, 2, axis=0)]) == 3


def test_much_longer_ones_are_not_compared():
    ours, other = drawn(9, 4)
    assert time_warping.nearest(ours, [other, np.repeat(ours, 3, axis=0)]) == 0
    assert time_warping.nearest(ours[:0], [ours, other]) == 1

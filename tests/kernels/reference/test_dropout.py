"""The hash that drops weights: of the native kernel's numbers it is tested in tests/kernels/test_attention.py."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels.reference import dropout

BATCH, HEADS, QUERIES, KEYS = 4, 4, 64, 256


def kept(rate=0.5, seed=(11, -7)):
    words = dropout.row_words(tf.constant(seed, tf.int32), BATCH, HEADS, QUERIES)
    return dropout.keep(words, rate, tf.range(KEYS)).numpy()


@pytest.mark.parametrize("rate", [0.0, 2.0**-10, 0.1, 0.5, 0.9, 1 - 2.0**-10])
def test_keeps_its_share(rate):
    share = 1 - kept(rate).mean()
    # 5 standard deviations of a mean of so many independent draws.
    assert abs(share - rate) <= 5 * np.sqrt(rate * (1 - rate) / (BATCH * HEADS * QUERIES * KEYS))


@pytest.mark.parametrize("axis", range(4), ids=["batch", "heads", "queries", "keys"])
def test_neighbours_are_not_alike(axis):
    x = np.moveaxis(kept(), axis, 0) * 2.0 - 1
    for distance in (1, 2, 3):
        products = x[distance:] * x[:-distance]
        assert abs(products.mean()) <= 5 / np.sqrt(products.size)


@pytest.mark.parametrize(
    "axes", [(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)], ids=["batch", "heads", "queries", "keys"]
)
def test_every_slice_keeps_its_share(axes):
    x = kept() * 2.0 - 1
    count = np.prod([x.shape[axis] for axis in axes])
    # 5 standard deviations, of at most 256 slices.
    assert (abs(x.mean(axis=axes)) <= 5 / np.sqrt(count)).all()


@pytest.mark.parametrize("other", [(12, -7), (11, -6), (-7, 11), (11 + 2**30, -7), (11, -7 + 2**30)])
def test_another_seed_drops_others(other):
    products = (kept() * 2.0 - 1) * (kept(seed=other) * 2.0 - 1)
    assert abs(products.mean()) <= 5 / np.sqrt(products.size)


def test_a_higher_rate_drops_more():
    assert not (kept(0.6) & ~kept(0.5)).any()


def test_a_block_of_keys_is_a_part_of_all():
    words = dropout.row_words(tf.constant([11, -7]), BATCH, HEADS, QUERIES)
    np.testing.assert_array_equal(dropout.keep(words, 0.5, tf.range(100, 140)), kept()[..., 100:140])

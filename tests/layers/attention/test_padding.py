import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.attention.padding import lengths_of, padding

X = tf.zeros([2, 4, 3])
MASK = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], "int32")


def with_mask():
    x = tf.identity(X)
    x._keras_mask = tf.constant(MASK == 1)
    return x


def test_lengths_reach_to_the_last_that_is_true():
    masks = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool)
    np.testing.assert_array_equal(lengths_of(masks), [2, 3, 2, 0, 3])


@pytest.mark.parametrize(("x", "mask"), [(X, MASK), (X, MASK.astype(bool)), (with_mask(), None)])
def test_a_mask_is_a_mask_and_lengths(x, mask):
    lengths, found = padding(x, mask=mask)
    np.testing.assert_array_equal(lengths, [3, 0])
    assert found.dtype == tf.bool
    np.testing.assert_array_equal(found, MASK)


def test_a_mask_given_goes_before_the_one_carried():
    lengths, mask = padding(with_mask(), mask=np.ones([1, 4], bool))
    np.testing.assert_array_equal(lengths, [4, 4])
    np.testing.assert_array_equal(mask, np.ones([2, 4], bool))


def test_lengths_make_no_mask():
    lengths = tf.constant([1, 2])
    found, mask = padding(with_mask(), lengths)
    assert found is lengths
    assert mask is None


def test_nothing_is_nothing():
    assert padding(X) == (None, None)

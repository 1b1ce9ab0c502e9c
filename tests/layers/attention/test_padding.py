import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.attention.padding import lengths_of, packed, padding, without_padding

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


def test_lengths_of_numpy_are_int32():
    lengths, _ = padding(X, np.array([4, 0]))
    assert lengths.dtype == tf.int32
    np.testing.assert_array_equal(lengths, [4, 0])


@pytest.mark.parametrize("shape", [[2, 4], [2, 4, 3], [2, 4, 3, 2]])
def test_padding_becomes_0(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    hidden = MASK == 0
    expected = np.where(hidden.reshape([2, 4] + [1] * (len(shape) - 2)), np.float32(0), x)
    x[hidden] = np.nan
    np.testing.assert_array_equal(without_padding(x, *padding(x, mask=MASK)), expected)
    by_lengths = without_padding(x, *padding(x, lengths=np.array([1, 0])))
    expected[0, 1:], expected[1] = 0, 0
    np.testing.assert_array_equal(by_lengths, expected)
    assert without_padding(x, None, None) is x


def test_what_is_real_is_packed_in_its_order():
    x = np.arange(8).reshape(2, 4)
    mask = np.array([[0, 1, 0, 1], [1, 1, 1, 0]], bool)
    front, lengths, unpacked = packed(x, mask)
    np.testing.assert_array_equal(front, [[1, 3, 0, 2], [4, 5, 6, 7]])
    np.testing.assert_array_equal(lengths, [2, 3])
    np.testing.assert_array_equal(unpacked(front), x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": [5, 1]}, r"`memory_lengths` must be within 0 and 4. Received: memory_lengths=\[5, 1\]"),
        ({"lengths": [[1, 2]]}, r"`memory_lengths` must be of shape \[batch\].* Received: .*\(1, 2\)"),
        ({"lengths": [1.0, 2.0]}, "`memory_lengths` must hold integers. Received: memory_lengths.dtype=float32"),
        # What Keras's attention calls an `attention_mask`; of another length; one column for all.
        ({"mask": np.ones([2, 4, 4])}, r"`memory_mask` must be of .*here \[2,4\]. Received: .*shape=\(2, 4, 4\)"),
        ({"mask": np.ones([2, 3])}, r"Received: memory_mask.shape=\(2, 3\)"),
        ({"mask": np.ones([2, 1])}, r"Received: memory_mask.shape=\(2, 1\)"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        padding(X, **arguments, prefix="memory_")


def test_nothing_is_nothing():
    assert padding(X) == (None, None)

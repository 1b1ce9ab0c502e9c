import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import KVCache


def numbered(batch, steps, start):
    """Returns numbers `[B,T,1,1]` that count from `start` in each row, plus 100 times the row."""
    return (100.0 * np.arange(batch)[:, None] + start + np.arange(steps)).astype("float32")[..., None, None]


def test_rows_of_unequal_length_grow_where_they_end():
    cache = KVCache.empty(2, 6, num_heads=1, head_size=1)
    cache = cache.append(numbered(2, 3, 1), -numbered(2, 3, 1), num_valid=tf.constant([3, 1]))
    np.testing.assert_array_equal(cache.length, [3, 1])
    np.testing.assert_array_equal(cache.positions(2), [[3, 4], [1, 2]])
    cache = cache.append(numbered(2, 2, 10), -numbered(2, 2, 10))
    np.testing.assert_array_equal(cache.length, [5, 3])
    key = cache.key[:, :, 0, 0].numpy()
    np.testing.assert_array_equal(key[0, :5], [1, 2, 3, 10, 11])
    # The padding has been overwritten.
    np.testing.assert_array_equal(key[1, :3], [101, 110, 111])
    np.testing.assert_array_equal(cache.value, -cache.key)


def test_a_full_row_raises():
    cache = KVCache.empty(1, 2, num_heads=1, head_size=1).append(numbered(1, 2, 0), numbered(1, 2, 0))
    with pytest.raises(tf.errors.InvalidArgumentError):
        cache.append(numbered(1, 1, 2), numbered(1, 1, 2))

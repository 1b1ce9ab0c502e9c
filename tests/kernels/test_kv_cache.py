import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels import KVCache


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
    # Padding is not written.
    np.testing.assert_array_equal(cache.key[:, :, 0, 0], [[1, 2, 3, 10, 11, 0], [101, 110, 111, 0, 0, 0]])
    np.testing.assert_array_equal(cache.value, -cache.key)


@pytest.mark.parametrize(
    ("held", "steps", "num_valid"),
    [([2, 2], 1, None), ([2, 1], 1, [1, 0]), ([1, 2], 2, None), ([0, 1], 3, [3, 1])],
)
def test_a_full_row_raises(held, steps, num_valid):
    cache = KVCache.empty(2, 2, num_heads=1, head_size=1)._replace(length=tf.constant(held))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`KVCache` must have a capacity of at least the number"):
        cache.append(numbered(2, steps, 2), numbered(2, steps, 2), num_valid)


def test_an_empty_cache_has_the_shape_and_dtype_that_were_requested():
    cache = KVCache.empty(2, 5, num_heads=3, head_size=4, dtype="bfloat16")
    assert cache.key.shape == cache.value.shape == (2, 5, 3, 4)
    assert (cache.key.dtype, cache.length.dtype, cache.rows) == (tf.bfloat16, tf.int32, ())
    assert not cache.length.numpy().any()


@pytest.mark.parametrize("capacity", [1, 2, 7])
def test_a_slot_holds_the_last_position_that_is_equal_to_it_modulo_the_capacity(capacity):
    lengths = np.arange(3 * capacity + 2)
    cache = KVCache.empty(len(lengths), capacity, 1, 1)._replace(length=tf.constant(lengths, tf.int32))
    found = cache.positions_of_slots().numpy()
    for length, positions in zip(lengths, found, strict=True):
        for slot, position in enumerate(positions):
            held = [p for p in range(length) if p % capacity == slot]
            assert position == held[-1] if held else position < 0


@pytest.mark.parametrize("chunks", [[1] * 9, [3, 1, 0, 5], [9], [2, 7]], ids=str)
@pytest.mark.parametrize("are_padded", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_without_room_the_last_tokens_are_kept(chunks, are_padded, late):
    """With paddings, the second row gets a token of each chunk, as far as there is one."""

    def append(cache, key, value, num_valid=None):
        return cache.updated(key, value, num_valid)

    if late:
        new = tf.TensorSpec([None, None, 1, 1])
        states = KVCache(new, new, tf.TensorSpec([None], tf.int32))
        signature = [states, new, new, *[tf.TensorSpec([None], tf.int32)] * are_padded]
        append = tf.function(append, input_signature=signature)
    cache, rows, start = KVCache.empty(2, 4, 1, 1), [[], []], 1
    for steps in chunks:
        counts = [steps, min(steps, 1)] if are_padded else [steps, steps]
        new = numbered(2, steps, start)
        cache = append(cache, tf.constant(new), tf.constant(-new), *[tf.constant(counts)] * are_padded)
        for row, (tokens, count) in enumerate(zip(rows, counts, strict=True)):
            tokens += new[row, :count, 0, 0].tolist()
        start += steps
    np.testing.assert_array_equal(cache.length, [len(tokens) for tokens in rows])
    for row, tokens in enumerate(rows):
        expected = [0.0] * 4
        for position, token in enumerate(tokens):
            expected[position % 4] = token
        np.testing.assert_array_equal(cache.key[row, :, 0, 0], expected)
    np.testing.assert_array_equal(cache.value, -cache.key)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_row_reads_the_slots_of_others_and_writes_its_own(steps):
    key, rows = numbered(3, 4, 1), np.array([[2, 0, 1, 1], [1, 1, 0, 2], [0, 2, 2, 2]], "int32")
    cache = KVCache(tf.constant(key), tf.constant(-key), tf.constant([4, 5, 1]), tf.constant(rows))
    expected = np.take_along_axis(key[..., 0, 0], rows, axis=0)
    for held, sign in zip(cache.contents(), (1, -1), strict=True):
        np.testing.assert_array_equal(held[..., 0, 0], sign * expected)
    new = numbered(3, steps, 50)
    cache = cache.updated(tf.constant(new), tf.constant(-new))
    own = key[..., 0, 0].copy()
    for row, length in enumerate([4, 5, 1]):
        for t in range(steps):
            slot = (length + t) % 4
            own[row, slot] = new[row, t, 0, 0]
            rows[row, slot] = row
    np.testing.assert_array_equal(cache.rows, rows)
    np.testing.assert_array_equal(cache.key[..., 0, 0], own)
    expected = np.take_along_axis(own, rows, axis=0)
    for held, sign in zip(cache.contents(), (1, -1), strict=True):
        np.testing.assert_array_equal(held[..., 0, 0], sign * expected)

import numpy as np
import tensorflow as tf

from ikelos.layers.decoding.rows import reorder_beams, repeat_rows


def test_rows_are_repeated_in_succession():
    values = {"a": tf.constant([[1, 2], [3, 4]]), "b": [tf.constant(["x", "y"]), tf.zeros([2, 0])]}
    found = repeat_rows(values, 3)
    tf.nest.map_structure(lambda ours, x: np.testing.assert_array_equal(ours, np.repeat(x, 3, axis=0)), found, values)
    assert repeat_rows(tf.zeros([0, 5]), 3).shape == (0, 5)


def test_beams_move_within_their_row_of_the_batch():
    values = {"a": tf.range(6), "b": [tf.range(12).numpy().reshape(6, 2)]}
    found = reorder_beams(values, tf.constant([[2, 0, 0], [1, 1, 2]]), 3)
    expected = [2, 0, 0, 4, 4, 5]
    np.testing.assert_array_equal(found["a"], expected)
    np.testing.assert_array_equal(found["b"][0], values["b"][0][expected])

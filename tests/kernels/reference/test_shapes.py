import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels.reference.shapes import assertions, reshape, size_of, sizes


def test_sizes_are_integers_where_they_are_known():
    assert sizes(np.zeros([2, 0, 3])) == [2, 0, 3]
    assert sizes(tf.zeros([])) == []

    @tf.function(input_signature=[tf.TensorSpec([None, 3, None])])
    def function(x):
        batch, known, last = sizes(x)
        assert (known, size_of(x, 1), size_of(x, -2)) == (3, 3, 3)
        return batch, last, size_of(x, 0), size_of(x, -1)

    assert [int(size) for size in function(tf.zeros([5, 3, 0]))] == [5, 0, 5, 0]


@pytest.mark.parametrize(("rows", "size"), [(5, 6), (0, 6), (5, 0)])
def test_reshaping_with_sizes_that_are_known_late(rows, size):
    @tf.function(input_signature=[tf.TensorSpec([None, size]), tf.TensorSpec([None, None])])
    def function(x, y):
        split = reshape(x, [size_of(x, 0), 3, size // 3])
        return split, reshape(y, [size_of(y, 0), 1, size_of(y, 1)])

    split, whole = function(tf.zeros([rows, size]), tf.zeros([rows, size]))
    assert (split.shape, whole.shape) == ((rows, 3, size // 3), (rows, 1, size))


@pytest.mark.parametrize(("rows", "message"), [(4, None), (1, None), (3, "axis 0 of `mask` must be B or 1. Received:")])
def test_unknown_sizes_are_checked_when_the_graph_runs(rows, message):
    @tf.function(input_signature=[tf.TensorSpec([None, 2]), tf.TensorSpec([None])])
    def function(x, mask):
        axis_sizes = {"B": size_of(x, 0)}
        with tf.control_dependencies(assertions({"mask": (mask, "B"), "bias": (None, "BT")}, axis_sizes, ["mask"])):
            return tf.identity(x)

    arguments = tf.zeros([4, 2]), tf.zeros([rows])
    if message is None:
        assert function(*arguments).shape == (4, 2)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            function(*arguments)

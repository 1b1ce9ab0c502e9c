import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.sequences import signatures
from ikelos.pipelines.sequences.problems import Copying

PROBLEM = Copying(symbols=3, copied=2)


@pytest.fixture(scope="module")
def recall():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Embedding(PROBLEM.vocabulary_size, 4),
        keras.layers.SimpleRNN(8, return_sequences=True),
        keras.layers.Dense(PROBLEM.outputs),
    ]
    return signatures.copy(PROBLEM, keras.Sequential(layers), lag=4, max_lag=100)


def test_a_recalled_symbol_depends_on_its_own_row_alone(recall):
    both = recall(symbols=tf.constant([[2, 1], [0, 2]]), lag=tf.constant([5, 1]))
    alone = recall(symbols=tf.constant([[0, 2]]), lag=tf.constant([1]))
    assert both["recalled"].shape == (2, 2)
    np.testing.assert_array_equal(both["recalled"][1:], alone["recalled"])
    np.testing.assert_allclose(both["probability"][1:], alone["probability"], rtol=1e-5)


@pytest.mark.parametrize(
    ("symbols", "lag", "says"),
    [([[0, 3]], [1], "`symbols` must be between 0 and 2"), ([[0, 1]], [0], "`lag` must be between 1 and 100")],
)
def test_symbols_and_lags_out_of_range_are_named(recall, symbols, lag, says):
    with pytest.raises(tf.errors.InvalidArgumentError, match=says):
        recall(symbols=tf.constant(symbols), lag=tf.constant(lag))


def test_the_sum_is_the_last_output():
    add = signatures.add(lambda x: tf.cumsum(x[..., :1] * x[..., 1:], axis=1), max_length=4)
    found = add(numbers=tf.constant([[0.5, 0.25, 0.75]]), marks=tf.constant([[1.0, 0.0, 1.0]]))
    np.testing.assert_allclose(found["sum"], [1.25])


@pytest.mark.parametrize(
    ("numbers", "marks", "says"),
    [
        ([[0.5, float("nan")]], [[1.0, 1.0]], "`numbers` must be between 0 and 1"),
        ([[0.5, 0.5]], [[1.0, 1.5]], "`marks` must be between 0 and 1"),
        ([[0.5, 0.5, 0.5]], [[1.0, 1.0, 1.0]], "`marks` must have two ones in each row"),
        ([[0.5] * 5], [[1.0] * 5], "The positions of `numbers` must be between 0 and 4. Received"),
        ([[0.5, 0.5, 0.5]], [[1.0, 1.0]], "`marks` must have the shape of `numbers`"),
    ],
)
def test_numbers_and_marks_that_do_not_fit_are_named(numbers, marks, says):
    add = signatures.add(lambda x: x[..., :1], max_length=4)
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=says):
        add(numbers=tf.constant(numbers), marks=tf.constant(marks))

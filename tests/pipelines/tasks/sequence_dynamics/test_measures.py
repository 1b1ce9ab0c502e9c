import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tasks.sequence_dynamics import measures, networks, problems
from ikelos.pipelines.tasks.sequence_dynamics.config import Model, Speed

SETTINGS = Model(kinds=("rnn",), units=8, num_layers=1, num_heads=2, hidden_size=8, exploding_gain=1.0)


def test_the_truth_is_right_and_guessing_is_not():
    for problem, chance in ((problems.Copying(4, 3), 1 / 4), (problems.Adding(), 1 - 0.96**2)):
        data = problems.one_batch_per_lag(problem, [4, 9], 2000, 0, problems.TEST)
        truth = iter(list(data))

        def answer(_, truth=truth):
            y = next(truth)["y"]
            return tf.one_hot(y, 4) if y.dtype == tf.int32 else y

        assert measures.accuracy(problem, answer, data, 0.04) == [1, 1]
        np.testing.assert_allclose(measures.accuracy(problem, measures.guess(problem), data, 0.04), chance, atol=0.03)


def test_gradients_of_a_plain_rnn_are_products_of_its_jacobians():
    keras.utils.set_random_seed(0)
    network = networks.build("rnn", SETTINGS, 5, "network", 5)
    x, y = np.array([[1, 2, 3, 4]], "int32"), np.array([[2, 3, 4, 1]], "int32")
    found = measures.gradient_norms(network, tf.constant(x), tf.constant(y))
    table, (kernel, recurrent, bias) = network.layers[0].get_weights()[0], network.layers[1].get_weights()
    head, offset = network.layers[2].get_weights()
    hidden, states = np.zeros(8), []
    for token in x[0]:
        hidden = np.tanh(table[token] @ kernel + hidden @ recurrent + bias)
        states.append(hidden)
    chances = np.exp(hidden @ head + offset)
    gradient = (chances / chances.sum() - np.eye(5)[1]) @ head.T
    expected = []
    for state in states[::-1]:
        through = gradient * (1 - state**2)
        expected.append(np.linalg.norm(through @ kernel.T))
        gradient = through @ recurrent.T
    np.testing.assert_allclose(found, list(enumerate(expected)), rtol=1e-4)


def test_windows_are_consecutive_and_full():
    x, y = measures.text_windows(np.arange(10, 21), 9, 4)
    np.testing.assert_array_equal(y, [[10, 11, 12, 13], [14, 15, 16, 17]])
    np.testing.assert_array_equal(x, [[1, 10, 11, 12], [1, 14, 15, 16]])
    with pytest.raises(UserError, match=r"`problems\.text_length` must be at most 11"):
        measures.text_windows(np.arange(10, 21), 9, 12)


def test_times_are_of_each_network_and_length():
    network = networks.build("rnn", SETTINGS, 5, "network", 5)
    speed = Speed(lengths=(3, 6), batch_size=2, tokens=2, repeats=1)
    for measure in (measures.step_times, measures.decoding_rates):
        found = measure({"rnn": network}, speed, np.array([1, 2, 3]))
        assert [length for length, _ in found["rnn"]] == [3, 6]
        assert all(value > 0 for _, value in found["rnn"])

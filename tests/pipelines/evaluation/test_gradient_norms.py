import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.evaluation import gradient_norms


def test_gradients_of_a_plain_rnn_are_products_of_its_jacobians():
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(5, 8),
            keras.layers.SimpleRNN(8, return_sequences=True),
            keras.layers.Dense(5),
        ]
    )
    x, y = np.array([[1, 2, 3, 4]], "int32"), np.array([[2, 3, 4, 1]], "int32")
    found = gradient_norms.by_distance(network, tf.constant(x), tf.constant(y))
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


def test_the_section_shows_networks_and_gains():
    points = [(0, 1.0), (1, 1e-3)]
    found = gradient_norms.section({"LSTM": points}, {"LSTM": points}, {"0.5": points, "2": points})
    assert found.alt.endswith("from the last step to the farthest: LSTM 1.0e+00 to 1.0e-03")
    (legend,) = found.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["LSTM", "gain 0.5", "gain 2"]

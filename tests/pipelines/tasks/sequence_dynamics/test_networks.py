import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.tasks.sequence_dynamics import networks
from ikelos.pipelines.tasks.sequence_dynamics.config import Kind, Model

KINDS = typing.get_args(Kind)
SETTINGS = Model(kinds=KINDS, units=8, num_layers=2, num_heads=2, hidden_size=8, exploding_gain=1.0)
TOKENS = np.array([[1, 2, 3, 4, 1, 0], [4, 3, 2, 1, 1, 2]], "int32")


@pytest.fixture(params=KINDS)
def network(request):
    keras.utils.set_random_seed(1)
    return networks.build(request.param, SETTINGS, 5, "network", 5)


def test_decoding_equals_one_call(network):
    whole = network(TOKENS)
    stepwise = networks.Stepwise(network)
    logits, state = stepwise.start(tf.constant(TOKENS[:, :4]), tf.constant([4, 4]), 6)
    found = [logits]
    for place in (4, 5):
        logits, state = stepwise.advance(tf.constant(TOKENS[:, place]), state)
        found.append(logits)
    np.testing.assert_allclose(tf.stack(found, axis=1), whole[:, 3:], rtol=1e-4, atol=1e-5)


def test_the_future_changes_nothing(network):
    later = TOKENS.copy()
    later[:, 4:] = 2
    np.testing.assert_allclose(network(later)[:, :4], network(TOKENS)[:, :4], rtol=1e-5, atol=1e-6)


def test_positions_tell_the_order_of_tokens():
    """The last output of one block without positions is that of a set of tokens."""
    one = SETTINGS.model_copy(update={"num_layers": 1})
    turned = np.concatenate([TOKENS[:, 4::-1], TOKENS[:, 5:]], axis=1)
    for kind, differs in (("transformer", True), ("transformer_without_positions", False)):
        network = networks.build(kind, one, 5, "network", 5)
        difference = np.abs(network(turned)[:, -1] - network(TOKENS)[:, -1]).max()
        assert (difference > 1e-5) == differs


def test_the_gain_is_that_of_the_recurrent_weights():
    network = networks.build("rnn", SETTINGS, 1, "network", gain=1.5)
    _, recurrent, _ = network.layers[1].get_weights()
    np.testing.assert_allclose(recurrent @ recurrent.T, 2.25 * np.eye(8), atol=1e-5)
    assert network.input_shape == (None, None, 2)

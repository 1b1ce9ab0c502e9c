"""Caches in place give what copies give, however the memory that they begin in came about."""

import collections

import keras
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels import in_place
from ikelos.layers import TransformerLanguageModel
from ikelos.layers.decoding import generate, greedy

PROMPTS = tf.constant([[3, 1, 4, 1], [5, 9, 2, 0]])
LENGTHS = tf.constant([4, 3])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return TransformerLanguageModel(
        11, context=6, num_layers=2, size=16, num_heads=4, hidden_size=24, num_key_value_heads=2
    )


def decoding(model, prompts=None):
    """Returns a function of prompts, traced with the reference; `prompts` makes them a constant of the graph."""

    def run(x):
        with kernels.use("reference"):
            x = x if prompts is None else prompts
            # More tokens than the window has, so that the cache is a ring.
            return generate(model, x, LENGTHS, tf.fill([2], 9), greedy, end_id=11)

    return tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec([2, None], tf.int32))


def ops_of(function):
    """Returns how often each op is in a graph."""
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
    return collections.Counter(node.op for node in nodes)


@pytest.mark.parametrize("prompts", [None, PROMPTS], ids=["given", "constant"])
def test_the_tokens_are_the_same_in_every_run(model, prompts):
    copying = decoding(model, prompts)
    with in_place.allow_updates_in_place():
        writing = decoding(model, prompts)
    assert "InplaceUpdate" in ops_of(writing)
    assert "InplaceUpdate" not in ops_of(copying)
    if prompts is None:
        # Sizes are checked when a prompt is read, and not in each step.
        assert 0 < ops_of(writing)["Assert"] < ops_of(copying)["Assert"]
    expected = copying(PROMPTS).numpy()
    for _ in range(3):
        assert (writing(PROMPTS).numpy() == expected).all()


def test_a_model_that_may_read_a_state_again_gets_copies(model):
    class Lookahead(TransformerLanguageModel):
        def advance(self, tokens, state):
            super().advance(tokens, state)
            return super().advance(tokens, state)

    other = Lookahead(11, context=6, num_layers=2, size=16, num_heads=4, hidden_size=24, num_key_value_heads=2)
    other.build((None, None))
    with in_place.allow_updates_in_place():
        assert "InplaceUpdate" not in ops_of(decoding(other))


def test_eager_calls_and_other_graphs_get_copies():
    cache = kernels.KVCache.empty(1, 4, num_heads=1, head_size=1)
    new = tf.ones([1, 1, 1, 1])
    with in_place.allow_updates_in_place(), in_place.updates_in_place():
        assert not in_place.is_active()
        cache.updated(new, new)
    assert not cache.key.numpy().any()
    assert in_place.owned(cache) is cache

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import DecoderBlock
from ikelos.layers.testing import check_layer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_keeps_a_layers_promises():
    config = {
        "num_heads": 4,
        "hidden_size": 12,
        "num_key_value_heads": 2,
        "window": 3,
        "dropout": 0.1,
        "kernel_initializer": "he_normal",
        "output_initializer": "he_uniform",
    }
    check_layer(DecoderBlock, config, normal(2, 5, 16))


def test_adds_two_branches_to_its_inputs():
    x = normal(2, 5, 8)
    block = DecoderBlock(2, 12)
    outputs = block(x)
    hidden = x + block.attention(block.attention_norm(x))
    np.testing.assert_array_equal(outputs, hidden + block.feed_forward(block.feed_forward_norm(hidden)))
    block.attention.output_projection.kernel.assign(np.zeros([8, 8]))
    block.feed_forward.down.kernel.assign(np.zeros([12, 8]))
    np.testing.assert_array_equal(block(x), x)


def test_dropout_is_for_training_alone():
    x = normal(2, 5, 8)
    block = DecoderBlock(2, 12, dropout=0.5)
    np.testing.assert_array_equal(block(x), block(x, training=False))
    assert np.abs(block(x, training=True) - block(x)).max() > 0.01


@pytest.mark.parametrize("window", [None, 3])
def test_a_cache_gives_what_one_call_gives(window):
    x = normal(2, 6, 8)
    block = DecoderBlock(2, 12, window=window)
    whole = block(x)
    first, cache = block(x[:, :4], cache=block.attention.empty_cache(2, 6))
    rest, _ = block(x[:, 4:], cache=cache)
    np.testing.assert_allclose(tf.concat([first, rest], axis=1), whole, rtol=0, atol=2e-6)

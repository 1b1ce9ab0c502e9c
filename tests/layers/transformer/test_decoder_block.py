import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import DecoderBlock, FusedRMSNormalization, RelativePositionBias, RotaryEmbedding
from ikelos.layers.testing import check_layer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


CONFIG = {
    "num_heads": 4,
    "hidden_size": 12,
    "num_key_value_heads": 2,
    "window": 3,
    "dropout": 0.1,
    "use_bias": True,
    "kernel_initializer": "he_normal",
    "output_initializer": "he_uniform",
}
OTHER = {
    "normalization": "layer",
    "normalize_first": False,
    "activation": "gelu",
    "position": RelativePositionBias(4, bidirectional=False),
}


@pytest.mark.slow
def test_keeps_a_layers_promises():
    check_layer(DecoderBlock, CONFIG, normal(2, 5, 16), config_kwargs=OTHER)


def test_keeps_a_layers_promises_with_a_memory():
    call_kwargs = {
        "memory": normal(2, 7, 6),
        "lengths": np.array([5, 3], "int32"),
        "memory_mask": np.array([[1] * 7, [0, 1, 1, 0, 1, 0, 0]], bool),
    }
    check_layer(DecoderBlock, CONFIG | OTHER, normal(2, 5, 16), call_kwargs=call_kwargs)


def test_adds_branches_to_its_inputs():
    x, memory = normal(2, 5, 8), normal(2, 4, 6)
    block = DecoderBlock(2, 12)
    outputs = block(x, memory)
    hidden = x + block.attention(block.attention_norm(x))
    hidden += block.cross_attention(block.cross_attention_norm(hidden), memory)
    np.testing.assert_array_equal(outputs, hidden + block.feed_forward(block.feed_forward_norm(hidden)))
    for part in (block.attention.output_projection, block.cross_attention.output_projection, block.feed_forward.down):
        part.kernel.assign(np.zeros(part.kernel.shape))
    np.testing.assert_array_equal(block(x, memory), x)


def test_is_a_block_of_llama_unless_told():
    block = DecoderBlock(4, 12)
    block.build([None, None, 16])
    assert block.normalize_first
    assert type(block.attention_norm) is type(block.feed_forward_norm) is FusedRMSNormalization
    assert type(block.attention.position) is RotaryEmbedding
    assert block.cross_attention is None
    # Four of attention, three of the gated network, two scales.
    assert block.count_params() == 4 * 16 * 16 + 3 * 16 * 12 + 2 * 16


def test_sees_the_past_within_the_window_alone():
    x, block = normal(1, 9, 16), DecoderBlock(4, 12, window=3)
    before = block(x).numpy()
    x[:, 4] += 1
    changed = np.abs(block(x).numpy() - before)[0].max(axis=-1) > 0
    np.testing.assert_array_equal(np.flatnonzero(changed), range(4, 7))


@pytest.mark.parametrize("window", [None, 3])
def test_a_cache_gives_what_one_call_gives(window):
    x = normal(2, 6, 8)
    block = DecoderBlock(2, 12, window=window)
    whole = block(x)
    first, cache = block(x[:, :4], cache=block.empty_cache(2, 6))
    rest, _ = block(x[:, 4:], cache=cache)
    np.testing.assert_allclose(tf.concat([first, rest], axis=1), whole, rtol=0, atol=2e-6)


def test_a_prompt_padded_before_goes_into_a_cache_as_without_padding():
    x, memory = normal(1, 7, 8), normal(1, 4, 6)
    mask = np.array([[0, 0, 0, 1, 1, 1, 1]], bool)
    block = DecoderBlock(2, 12)
    whole = block(x[:, 3:], memory)
    outputs, cache = block(x[:, :6], cache=block.empty_cache(1, 10, memory), mask=mask[:, :6])
    last, cache = block(x[:, 6:], cache=cache)
    np.testing.assert_allclose(tf.concat([outputs[:, 3:], last], axis=1), whole, rtol=0, atol=5e-6)
    np.testing.assert_array_equal(cache[0].length, [4])


def test_a_memory_is_given_where_there_is_one():
    x, memory = normal(1, 3, 8), normal(1, 4, 6)
    with pytest.raises(ValueError, match="`empty_cache` needs a built layer"):
        DecoderBlock(2, 12).empty_cache(1, 5)
    plain, crossing = DecoderBlock(2, 12), DecoderBlock(2, 12)
    plain(x)
    crossing(x, memory)
    cache = crossing.empty_cache(1, 5, memory)
    for call, received in (
        (lambda: plain(x, memory), "memory given, cache not given, block built without one"),
        (lambda: plain.empty_cache(1, 5, memory), "memory given, cache not given, block built without one"),
        (lambda: crossing(x), "memory not given, cache not given, block built with one"),
        (lambda: crossing.empty_cache(1, 5), "memory not given, cache not given, block built with one"),
        (lambda: crossing(x, memory, cache=cache), "memory given, cache given, block built with one"),
    ):
        with pytest.raises(ValueError, match=f"`memory` must be given to a block .* Received: {received}"):
            call()
    lengths = np.array([2])
    for call in (lambda: plain(x, memory_lengths=lengths), lambda: plain.empty_cache(1, 5, memory_lengths=lengths)):
        with pytest.raises(
            ValueError, match=r"must be None for a block that was built without a memory. Received: memory_lengths"
        ):
            call()
    with pytest.raises(
        ValueError, match=r"must be None for a block that was built without a memory. Received: memory_mask"
    ):
        plain(x, memory_mask=np.ones([1, 4], bool))
    with pytest.raises(ValueError, match="`return_attention_scores` must be False for a block that was built without"):
        plain(x, return_attention_scores=True)


@pytest.mark.parametrize("cached", [False, True])
def test_returns_the_weights_of_the_cross_attention(cached):
    block, x, memory = DecoderBlock(2, 12), normal(2, 3, 8), normal(2, 4, 6)
    outputs = block(x, memory)
    given = {"cache": block.empty_cache(2, 3, memory)} if cached else {"memory": memory}
    again, *_, weights = block(x, **given, return_attention_scores=True)
    np.testing.assert_allclose(again, outputs, atol=1e-6)
    assert weights.shape == (2, 2, 3, 4)
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1, rtol=1e-5)


def test_a_cache_must_be_of_a_block_of_its_kind():
    x, memory = normal(1, 3, 8), normal(1, 4, 6)
    plain, crossing = DecoderBlock(2, 12), DecoderBlock(2, 12)
    plain(x)
    crossing(x, memory)
    with pytest.raises(ValueError, match=r"`cache` must be .* Received: tuple, block built without one"):
        plain(x, cache=crossing.empty_cache(1, 5, memory))
    with pytest.raises(ValueError, match=r"`cache` must be .* Received: a `KVCache`, block built with one"):
        crossing(x, cache=plain.empty_cache(1, 5))

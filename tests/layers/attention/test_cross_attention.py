import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import CrossAttention, MemoryCache
from ikelos.layers.testing import check_layer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


X, MEMORY = normal(3, 4, 16), normal(3, 6, 10, seed=1)
# At the end, at the begin, in between.
MASK = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 1, 0, 1]], bool)


@pytest.fixture(params=["native", "reference"])
def implementation(request):
    with kernels.use(request.param):
        yield


def test_scores_are_the_softmax_of_the_products(implementation):
    layer = CrossAttention(4, 2)
    outputs = layer(X, MEMORY, memory_mask=MASK)
    again, weights = layer(X, MEMORY, memory_mask=MASK, return_attention_scores=True)
    np.testing.assert_array_equal(again, outputs)
    query = layer.query(X).numpy().reshape(3, 4, 4, 4).astype("float64")
    key = np.repeat(layer.key(MEMORY).numpy().reshape(3, 6, 2, 4), 2, axis=2)
    logits = np.where(MASK[:, None, None], np.einsum("btnh,bsnh->bnts", query, key) / 2, -np.inf)
    expected = np.exp(logits - logits.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(weights, expected / expected.sum(axis=-1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    "padding",
    [pytest.param({"memory_lengths": np.array([6, 1], "int32")}, marks=pytest.mark.slow), {"memory_mask": MASK[:2]}],
)
def test_keeps_a_layers_promises(padding):
    config = {
        "num_heads": 4,
        "num_key_value_heads": 2,
        "use_bias": True,
        "kernel_initializer": "he_normal",
        "output_initializer": "he_uniform",
    }
    check_layer(CrossAttention, config, X[:2], call_kwargs={"memory": MEMORY[:2], **padding})


def carrying_mask(x, mask):
    x = tf.constant(x)
    x._keras_mask = tf.constant(mask)
    return x


def test_a_masked_memory_is_the_memory_without_its_padding(implementation):
    layer = CrossAttention(4, 2)
    padded = np.where(MASK[..., None], MEMORY, 9.0)
    outputs = layer(X, padded, memory_mask=MASK)
    np.testing.assert_array_equal(layer(X, carrying_mask(padded, MASK)), outputs)
    cached = [
        layer(X, cache=layer.memory_cache(padded, memory_mask=MASK)),
        layer(X, cache=layer.memory_cache(carrying_mask(padded, MASK))),
    ]
    for b in range(3):
        alone = layer(X[b : b + 1], MEMORY[b : b + 1, MASK[b]])[0]
        for found in (outputs, *cached):
            np.testing.assert_allclose(found[b], alone, rtol=0, atol=2e-6)


def test_lengths_are_a_mask(implementation):
    layer, lengths = CrossAttention(4, 2), tf.constant([6, 1, 3])
    mask = tf.sequence_mask(lengths, 6)
    expected = layer(X, MEMORY, memory_mask=mask)
    np.testing.assert_allclose(layer(X, MEMORY, memory_lengths=lengths), expected, rtol=0, atol=1e-6)
    cache = layer.memory_cache(MEMORY, memory_lengths=lengths)
    np.testing.assert_array_equal(cache.length, lengths)
    np.testing.assert_allclose(layer(X, cache=cache), expected, rtol=0, atol=1e-6)


def test_what_is_not_finite_at_padding_reaches_nothing(implementation):
    """Of the memory, with and without a cache, and of the inputs."""
    layer, real = CrossAttention(4, 2), MASK[:, :4]
    layer.build(X.shape, MEMORY.shape)
    found = []
    for filling in (0.0, np.nan):
        x = carrying_mask(np.where(real[..., None], X, filling).astype("float32"), real)
        memory = tf.constant(np.where(MASK[..., None], MEMORY, filling), "float32")
        with tf.GradientTape() as tape:
            tape.watch([x, memory])
            outputs = [
                layer(x, memory, memory_mask=MASK)[real],
                layer(x, cache=layer.memory_cache(memory, memory_mask=MASK))[real],
            ]
            loss = sum(tf.reduce_sum(tf.sin(y)) for y in outputs)
        weights = [weight.value for weight in layer.trainable_variables]
        found.append([*outputs, *tape.gradient(loss, [x, memory, *weights])])
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_cache_of_a_whole_memory(implementation):
    layer = CrossAttention(4)
    expected = layer(X, MEMORY)
    np.testing.assert_array_equal(layer(X, cache=layer.memory_cache(MEMORY)), expected)


def test_rows_in_succession_share_a_row_of_the_cache(implementation):
    layer, x, mask = CrossAttention(4, 2), normal(6, 4, 16, seed=2), np.repeat(MASK[:2], 3, axis=0)
    layer.build(X.shape, MEMORY.shape)
    memory = np.repeat(MEMORY[:2], 3, axis=0)
    expected, expected_weights = layer(x, memory, memory_mask=mask, return_attention_scores=True)
    cache = layer.memory_cache(MEMORY[:2], memory_mask=MASK[:2])
    outputs, weights = layer(x, cache=cache, return_attention_scores=True)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=2e-6)
    # Keys that are padding go to the end of a cache.
    for row, length in enumerate(np.repeat(cache.length, 3)):
        of_tokens = expected_weights.numpy()[row][..., mask[row]]
        np.testing.assert_allclose(weights[row, :, :, :length], of_tokens, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(weights[row, :, :, length:], 0)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("rows", "batch", "steps"), [(2, 6, 4), (3, 3, 1), (2, 4, 0), (0, 0, 4)])
def test_any_number_of_rows_shares_a_cache(rows, batch, steps, late):
    layer, x = CrossAttention(4, 2), normal(batch, steps, 16, seed=2)
    layer.build(X.shape, MEMORY.shape)
    attend = layer
    if late:
        attend = tf.function(lambda x, cache: layer(x, cache=cache))
        held = tf.TensorSpec([None, None, 2, 4])
        cache = MemoryCache(held, held, tf.TensorSpec([None], tf.int32))
        attend = attend.get_concrete_function(tf.TensorSpec([None, None, 16]), cache)
    outputs = attend(tf.constant(x), cache=layer.memory_cache(tf.constant(MEMORY[:rows])))
    expected = layer(tf.constant(x), tf.repeat(MEMORY[:rows], batch // max(rows, 1), axis=0))
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=2e-6)


def test_rows_must_be_a_multiple_of_those_of_the_cache():
    layer = CrossAttention(2)
    layer.build(X.shape, MEMORY.shape)
    message = r"`inputs` must have a multiple of the 2 rows of `cache`. Received: inputs.shape=\(3, 4, 16\)"
    with pytest.raises(ValueError, match=message):
        layer(X, cache=layer.memory_cache(MEMORY[:2]))


def test_a_memory_of_padding_alone_gives_nothing(implementation):
    layer = CrossAttention(2)
    np.testing.assert_array_equal(layer(X, MEMORY, memory_lengths=tf.constant([0, 0, 0])), np.zeros_like(X))


def test_the_outputs_mask_is_that_of_the_inputs():
    layer = CrossAttention(2)
    outputs = layer(carrying_mask(X, MASK[:, :4]), carrying_mask(MEMORY, MASK))
    np.testing.assert_array_equal(outputs._keras_mask, MASK[:, :4])


@pytest.mark.parametrize(("jit_compile"), [False, True])
def test_in_a_graph_of_unknown_sizes(jit_compile):
    layer = CrossAttention(4, 2)
    expected = layer(X, MEMORY, memory_mask=MASK)

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec([None, None, 16]),
            tf.TensorSpec([None, None, 10]),
            tf.TensorSpec([None, None], tf.bool),
        ],
    )
    def attend(x, memory, mask):
        return layer(x, memory, memory_mask=mask), layer(x, cache=layer.memory_cache(memory, memory_mask=mask))

    for found in attend(X, MEMORY, MASK):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_memory_and_cache_stand_in_for_each_other():
    layer = CrossAttention(2, name="mine")
    with pytest.raises(ValueError, match=r"`memory_cache` needs a built layer.* Received: layer 'mine', not built"):
        layer.memory_cache(MEMORY)
    layer.build(X.shape, MEMORY.shape)
    with pytest.raises(ValueError, match=r"Either `memory` or `cache` must be given. Received: neither"):
        layer(X)
    with pytest.raises(ValueError, match=r"Either `memory` or `cache` must be given. Received: both"):
        layer(X, MEMORY, cache=layer.memory_cache(MEMORY))


@pytest.mark.parametrize(("name", "value"), [("memory_lengths", np.array([6, 1, 3])), ("memory_mask", MASK)])
def test_padding_is_told_when_a_cache_is_made(name, value):
    layer = CrossAttention(2)
    layer.build(X.shape, MEMORY.shape)
    with pytest.raises(ValueError, match=f"`memory_lengths` and `memory_mask` .* Received: cache and {name}"):
        layer(X, cache=layer.memory_cache(MEMORY), **{name: value})

"""Tests that `EncoderBlock` and `DecoderBlock` share, for all combinations of their options."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import AlibiBias, DecoderBlock, EncoderBlock, RelativePositionBias

HEADS, SIZE, HIDDEN, MEMORY_SIZE = 4, 16, 12, 10
IMPLEMENTATIONS = ("native", "reference")
POSITIONS = {
    "none": lambda: None,
    "rotary": lambda: "rotary",
    "alibi": lambda: AlibiBias(HEADS),
    "relative": lambda: RelativePositionBias(HEADS, num_buckets=8, max_distance=7),
}
STYLES = list(itertools.product([True, False], ["rms", "layer"], ["swiglu", "gelu"]))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def scattered(block, memory_size=None):
    """Returns `block` with random weights, so that a wrong weight changes its outputs."""
    block.build([None, None, SIZE], *([] if memory_size is None else [[None, None, memory_size]]))
    draw = np.random.default_rng(1)
    for weight in block.trainable_variables:
        weight.assign(draw.normal(size=weight.shape, scale=0.3) + (weight.name in ("scale", "gamma")))
    return block


def styled(block_class, style, key_heads=None, position="none", **more):
    normalize_first, normalization, activation = style
    return block_class(
        HEADS,
        HIDDEN,
        key_heads,
        normalization=normalization,
        normalize_first=normalize_first,
        activation=activation,
        position=POSITIONS[position](),
        **more,
    )


def stock_model(block, memory_size):
    """Returns a model of stock layers from the block's config, and pairs of a part of the block and a stock layer."""
    config, pairs = block.get_config(), []

    def made(part, layer_class, *arguments, **more):
        pairs.append((part, layer_class(*arguments, **more, dtype="float64")))
        return pairs[-1][1]

    def norm(part):
        classes = {"rms": keras.layers.RMSNormalization, "layer": keras.layers.LayerNormalization}
        return made(part, classes[config["normalization"]], epsilon=1e-6)

    def attention(part):
        heads = (SIZE // HEADS, config["num_heads"], config["num_key_value_heads"])
        return made(part, keras.layers.GroupQueryAttention, *heads, use_bias=config["use_bias"])

    def dense(part, units, activation=None):
        return made(part, keras.layers.Dense, units, activation, use_bias=config["use_bias"])

    def branch(x, norm, function):
        return x + function(norm(x)) if config["normalize_first"] else norm(x + function(x))

    x = inputs = keras.Input([None, SIZE], dtype="float64")
    memory = None if memory_size is None else keras.Input([None, memory_size], dtype="float64")
    own = attention(block.attention)
    causal = isinstance(block, DecoderBlock)
    x = branch(x, norm(block.attention_norm), lambda x: own(x, x, use_causal_mask=causal))
    if memory is not None:
        cross = attention(block.cross_attention)
        x = branch(x, norm(block.cross_attention_norm), lambda x: cross(x, memory))
    network = block.feed_forward
    if config["activation"] == "swiglu":
        gate, up, down = dense(network.gate, HIDDEN, "silu"), dense(network.up, HIDDEN), dense(network.down, SIZE)
        x = branch(x, norm(block.feed_forward_norm), lambda x: down(gate(x) * up(x)))
    else:
        up, down = dense(network.up, HIDDEN, config["activation"]), dense(network.down, SIZE)
        x = branch(x, norm(block.feed_forward_norm), lambda x: down(up(x)))
    model = keras.Model([inputs] if memory is None else [inputs, memory], x)
    for part, stock in pairs:
        stock.set_weights([np.reshape(a, b.shape) for a, b in zip(part.weights, stock.weights, strict=True)])
    return model, pairs


def results(call, tensors, weights):
    """Returns the outputs, and the gradients of `tensors` and `weights`."""
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = call()
        loss = tf.reduce_sum(tf.sin(outputs))
    gradients = tape.gradient(loss, [*tensors, *(weight.value for weight in weights)])
    return [np.asarray(x) for x in (outputs, *gradients)]


KINDS = {"encoder": (EncoderBlock, None), "decoder": (DecoderBlock, None), "decoder with memory": (DecoderBlock, SIZE)}


def with_style(style):
    return dict(zip(("normalize_first", "normalization", "activation"), style, strict=True))


def heads_and_bias(style):
    """Returns the two options for a style, so that each value occurs with each kind."""
    return STYLES.index(style) % 2 == 0, STYLES.index(style) % 3 == 0


@pytest.mark.pairwise(
    features=lambda kind, style: {"kind": kind, "options": heads_and_bias(style), **with_style(style)}
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", STYLES)
def test_equals_stock_layers(kind, style):
    block_class, memory_size = KINDS[kind]
    grouped, use_bias = heads_and_bias(style)
    block = scattered(styled(block_class, style, 2 if grouped else None, use_bias=use_bias), memory_size)
    stock, pairs = stock_model(block, memory_size)
    arrays = [normal(2, 7, SIZE)] + ([] if memory_size is None else [normal(2, 5, memory_size, seed=1)])
    ours = [weight for part, _ in pairs for weight in part.weights]
    assert {id(weight) for weight in ours} == {id(weight) for weight in block.trainable_variables}
    wide = [tf.constant(x, "float64") for x in arrays]
    expected = results(lambda: stock(wide), wide, [weight for _, layer in pairs for weight in layer.weights])
    # Half a last place of the largest number for each term of the sums on the way to a gradient.
    tolerance = 2.0**-24 * 6 * (7 + 5 + SIZE + HIDDEN) * max(np.abs(x).max() for x in expected)
    for implementation in IMPLEMENTATIONS:
        tensors = [tf.constant(x) for x in arrays]
        with kernels.use(implementation):
            found = results(lambda tensors=tensors: block(*tensors), tensors, ours)
        for x, exact in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, np.reshape(exact, x.shape), rtol=0, atol=tolerance)


X, MEMORY = normal(3, 7, SIZE), normal(3, 6, MEMORY_SIZE, seed=1)
LENGTHS = np.array([4, 1, 3])
MEMORY_MASK = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 1, 0, 1]], bool)


def memory_and_heads(style, position):
    """Returns whether there is a memory, and the number of key heads: all pairs occur with each style and position."""
    style_index, position_index = STYLES.index(style), list(POSITIONS).index(position)
    return (style_index + position_index) % 2 == 0, [HEADS, 2][(style_index // 2 + position_index) % 2]


@pytest.mark.pairwise(
    features=lambda style, position: {
        "position": position,
        **dict(zip(("memory", "heads"), memory_and_heads(style, position), strict=True)),
        **with_style(style),
    }
)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("style", STYLES)
def test_decoding_step_by_step_gives_what_one_call_gives(style, position):
    """Prompts of unequal lengths, then token after token; the memory has padding anywhere."""
    with_memory, key_heads = memory_and_heads(style, position)
    block = scattered(styled(DecoderBlock, style, key_heads, position), MEMORY_SIZE if with_memory else None)
    memory = {"memory": MEMORY, "memory_mask": MEMORY_MASK} if with_memory else {}
    whole = block(X, **memory).numpy()
    prompt = np.where(np.arange(4)[:, None] < LENGTHS[:, None, None], X[:, :4], 9.0)
    for implementation in IMPLEMENTATIONS:
        with kernels.use(implementation):
            cache = block.empty_cache(3, 8, **memory)
            outputs, cache = block(prompt, cache=cache, lengths=tf.constant(LENGTHS, tf.int32))
            for b, length in enumerate(LENGTHS):
                np.testing.assert_allclose(outputs[b, :length], whole[b, :length], rtol=0, atol=1e-5)
            for step in range(2):
                outputs, cache = block(X[range(3), LENGTHS + step][:, None], cache=cache)
                np.testing.assert_allclose(outputs[:, 0], whole[range(3), LENGTHS + step], rtol=0, atol=1e-5)


@pytest.mark.parametrize("with_memory", [False, True])
def test_the_rows_of_a_cache_can_be_put_in_another_order(with_memory):
    block = scattered(styled(DecoderBlock, STYLES[0], 2, "relative"), MEMORY_SIZE if with_memory else None)
    memory = {"memory": MEMORY, "memory_mask": MEMORY_MASK} if with_memory else {}
    _, cache = block(X[:, :4], cache=block.empty_cache(3, 5, **memory), lengths=tf.constant(LENGTHS, tf.int32))
    assert {len(x) for x in tf.nest.flatten(cache)} == {3}
    expected, _ = block(X[:, 4:5], cache=cache)
    order = [2, 0, 2, 1]
    chosen = tf.nest.map_structure(lambda x: tf.gather(x, order), cache)
    outputs, _ = block(tf.gather(X[:, 4:5], order), cache=chosen)
    np.testing.assert_allclose(outputs, tf.gather(expected, order), rtol=0, atol=1e-6)


@pytest.mark.pairwise
@pytest.mark.parametrize("position", ["rotary", "relative"])
@pytest.mark.parametrize("normalization", ["rms", "layer"])
@pytest.mark.parametrize("normalize_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_row_is_the_row_without_its_padding(kind, normalize_first, normalization, position):
    block_class, memory_size = KINDS[kind]
    block = scattered(styled(block_class, (normalize_first, normalization, "gelu"), 2, position), memory_size)
    mask = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1], [1] * 7], bool)
    memory = normal(3, 6, SIZE, seed=1)

    def carrying(x, mask):
        x = tf.constant(np.where(mask[..., None], x, 9.0))
        x._keras_mask = tf.constant(mask)
        return x

    masked = [carrying(X, mask)] + ([carrying(memory, MEMORY_MASK)] if memory_size else [])
    alone = [
        block(X[b : b + 1, mask[b]], *([memory[b : b + 1, MEMORY_MASK[b]]] if memory_size else [])).numpy()[0]
        for b in range(3)
    ]
    for implementation in IMPLEMENTATIONS:
        with kernels.use(implementation):
            outputs = block(*masked)
        np.testing.assert_array_equal(outputs._keras_mask, mask)
        for b in range(3):
            np.testing.assert_allclose(outputs[b][mask[b]], alone[b], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_and_masks_given_are_masks_carried(kind):
    block_class, memory_size = KINDS[kind]
    block = scattered(styled(block_class, STYLES[0], position="rotary"), memory_size)
    lengths, memory_lengths = tf.constant([7, 2, 4]), tf.constant([1, 6, 3])
    mask = tf.sequence_mask(lengths, 7)
    with_memory = {"memory": normal(3, 6, SIZE)} if memory_size else {}
    by_lengths = {"lengths": lengths} | ({"memory_lengths": memory_lengths} if memory_size else {})
    by_masks = {"mask": mask} | ({"memory_mask": tf.sequence_mask(memory_lengths, 6)} if memory_size else {})
    first, second = (block(X, **with_memory, **padding).numpy() for padding in (by_lengths, by_masks))
    np.testing.assert_allclose(first[mask], second[mask], rtol=0, atol=1e-6)
    assert np.abs(first - block(X, **with_memory).numpy()).max() > 1e-2


@pytest.mark.parametrize("normalize_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_for_training_alone_and_of_each_branch(kind, normalize_first):
    block_class, memory_size = KINDS[kind]
    memory = [] if memory_size is None else [normal(3, 6, memory_size)]
    block = scattered(block_class(HEADS, HIDDEN, dropout=0.5, normalize_first=normalize_first), memory_size)
    np.testing.assert_array_equal(block(X, *memory), block(X, *memory, training=False))
    dropped = []
    block.dropout.call = lambda x, training: dropped.append((x.shape, training)) or x
    block(X, *memory, training=True)
    assert dropped == [((3, 7, SIZE), True)] * (2 if memory_size is None else 3)


@pytest.mark.parametrize("block_class", [EncoderBlock, DecoderBlock])
def test_errors_name_the_argument(block_class):
    for arguments, message in (
        ({"normalization": "batch"}, "Received: normalization='batch'"),
        ({"num_heads": 0}, "Received: num_heads=0"),
        ({"hidden_size": 0}, "Received: hidden_size=0"),
        ({"position": 3}, "Received: position=3"),
    ):
        with pytest.raises(ValueError, match=message):
            block_class(**{"num_heads": 2, "hidden_size": 8} | arguments)
    with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
        block_class(2, 8)(normal(5, SIZE))


@pytest.mark.parametrize("normalize_first", [True, False])
@pytest.mark.parametrize("block_class", [EncoderBlock, DecoderBlock])
def test_what_is_not_finite_at_padding_reaches_nothing(block_class, normalize_first):
    """In two blocks, with the gradients of all weights; where a decoder has a memory, at padding of either."""
    crosses, real = block_class is DecoderBlock, np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool)
    memory_real = np.array([[0, 1, 1, 0], [1, 1, 1, 0]], bool)
    blocks = [scattered(block_class(HEADS, HIDDEN, normalize_first=normalize_first), MEMORY_SIZE if crosses else None)]
    blocks.append(scattered(block_class(HEADS, HIDDEN, normalization="layer", activation="gelu"), *[SIZE] * crosses))
    found = []
    for filling in (0.0, np.nan):
        x = tf.constant(np.where(real[..., None], normal(2, 5, SIZE), filling), "float32")
        memory = tf.constant(np.where(memory_real[..., None], normal(2, 4, MEMORY_SIZE), filling), "float32")
        with tf.GradientTape() as tape:
            tape.watch([x, memory])
            hidden = blocks[0](x, *[memory] * crosses, mask=real, **{"memory_mask": memory_real} if crosses else {})
            hidden = blocks[1](hidden, *[hidden] * crosses, mask=real, **{"memory_mask": real} if crosses else {})
            loss = tf.reduce_sum(tf.sin(hidden[real]))
        sources = [x, *[memory] * crosses, *(weight.value for block in blocks for weight in block.trainable_variables)]
        found.append([hidden, *tape.gradient(loss, sources)])
    for actual, expected in zip(*found, strict=True):
        assert np.isfinite(expected).all()
        np.testing.assert_array_equal(actual, expected)

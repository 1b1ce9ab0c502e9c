import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import AlibiBias, LearnedPositionEmbedding, RelativePositionBias, RotaryEmbedding, SelfAttention
from ikelos.layers.testing import check_layer

WAVELENGTH, BUCKETS, DISTANCE = 20.0, 8, 7
POSITIONS = {
    "none": lambda heads: None,
    "rotary": lambda heads: RotaryEmbedding(WAVELENGTH),
    "alibi": AlibiBias,
    "relative": lambda heads: RelativePositionBias(
        heads, BUCKETS, DISTANCE, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0, seed=0)
    ),
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture(params=["native", "reference"])
def implementation(request):
    with kernels.use(request.param):
        yield


MASK = np.array([[1, 1, 1, 1, 1], [0, 1, 1, 0, 1]], bool)


@pytest.mark.parametrize(
    ("position", "is_causal", "padding"),
    [
        ("rotary", True, {"lengths": np.array([5, 2], "int32")}),
        ("alibi", False, {"mask": MASK}),
        ("relative", False, {}),
    ],
)
def test_keeps_a_layers_promises(position, is_causal, padding):
    config = {
        "num_heads": 4,
        "num_key_value_heads": 2,
        "window": 3,
        "position": POSITIONS[position](4),
        "use_bias": True,
        "kernel_initializer": "he_normal",
        "output_initializer": "he_uniform",
    }
    causal = {"is_causal": True}
    if is_causal:
        config |= causal
    check_layer(SelfAttention, config, normal(2, 5, 16), call_kwargs=padding, config_kwargs=causal)


def t5_bucket(ahead):
    """Returns the bucket of a key `ahead` of the query, by the paper's code for 8 buckets in both directions."""
    distance, half = abs(ahead), BUCKETS // 2
    single = half // 2
    if distance >= single:
        grown = single + math.log(distance / single) / math.log(DISTANCE / single) * (half - single)
        distance = min(int(grown), half - 1)
    return distance + (half if ahead > 0 else 0)


def expected_attention(layer, x):
    """Returns the outputs, computed query by query in float64, with pairs of features as complex numbers."""
    (batch, steps, _), size, heads = x.shape, layer.head_size, layer.num_heads
    group = heads // layer.num_key_value_heads
    query, key, value = (
        (x.astype("float64") @ part.kernel.numpy()).reshape(batch, steps, -1, size)
        for part in (layer.query, layer.key, layer.value)
    )
    wavelength = WAVELENGTH if isinstance(layer.position, RotaryEmbedding) else np.inf
    with np.errstate(divide="ignore"):
        turns = np.exp(1j * np.arange(steps)[:, None] * wavelength ** (-np.arange(0.0, size, 2) / size))
    if wavelength == np.inf:
        turns = np.ones_like(turns)
    query, key = ((y[..., : size // 2] + 1j * y[..., size // 2 :]) * turns[:, None] for y in (query, key))
    window = steps if layer.window is None else layer.window
    outputs = np.zeros([batch, steps, heads, size])
    for t in range(steps):
        seen = np.arange(max(0, t - window + 1), t + 1 if layer.is_causal else min(steps, t + window))
        for n in range(heads):
            bias = np.zeros(len(seen))
            if isinstance(layer.position, AlibiBias):
                bias = -np.abs(seen - t) * 2.0 ** (-8 * (n + 1) / heads)
            if isinstance(layer.position, RelativePositionBias):
                bias = layer.position.embeddings.numpy()[[t5_bucket(s - t) for s in seen], n]
            # The real part of a product with a conjugate is the dot product of the pairs.
            logits = (key[:, seen, n // group] * query[:, t, None, n].conj()).real.sum(-1) / size**0.5 + bias
            weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            outputs[:, t, n] = (weights[..., None] * value[:, seen, n // group]).sum(1)
    return outputs.reshape(batch, steps, -1) @ layer.output_projection.kernel.numpy()


@pytest.mark.pairwise
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("window", "key_heads"), [(None, 4), (None, 1), (1, 2), (3, 2), (6, 4), (7, 4), (100, 4)])
def test_follows_the_definition(position, is_causal, window, key_heads, implementation):
    x = normal(2, 7, 16)
    layer = SelfAttention(4, key_heads, is_causal=is_causal, window=window, position=POSITIONS[position](4))
    np.testing.assert_allclose(layer(x), expected_attention(layer, x), rtol=0, atol=1e-5)


def relative_by_stock_operations(layer, x):
    """Computes attention to the past with a bias per distance up to 4 (Raffel et al. 2020), by Keras's operations."""

    def split(part, heads):
        return keras.ops.reshape(part(x), [*x.shape[:2], heads, layer.head_size])

    distances = np.arange(x.shape[1])[:, None] - np.arange(x.shape[1])
    bias = keras.ops.take(layer.position.embeddings, np.clip(distances, 0, 4), axis=0)
    attended = keras.ops.dot_product_attention(
        split(layer.query, 4),
        split(layer.key, 4),
        split(layer.value, 4),
        bias=keras.ops.transpose(bias, [2, 0, 1])[None],
        is_causal=True,
    )
    return layer.output_projection(keras.ops.reshape(attended, x.shape))


def test_the_gradient_reaches_a_relative_bias(implementation):
    x = normal(2, 7, 16)
    layer = SelfAttention(4, is_causal=True, position=RelativePositionBias(4, 5, 4, bidirectional=False))
    layer.build(x.shape)
    layer.position.embeddings.assign(normal(5, 4))
    gradients = []
    for attend in (layer, lambda x: relative_by_stock_operations(layer, x)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(attend(tf.constant(x))))
        gradients.append(tape.gradient(loss, [weight.value for weight in layer.trainable_variables]))
    assert len(gradients[0]) == 5
    for found, expected in zip(*gradients, strict=True):
        found, expected = (np.asarray(tf.convert_to_tensor(y)) for y in (found, expected))
        assert np.abs(expected).max() > 1e-2
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_future_does_not_change_the_past():
    x = normal(1, 9, 8)
    layer = SelfAttention(2, is_causal=True)
    before = layer(x).numpy()
    x[:, 5] += 1
    after = layer(x).numpy()
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (np.abs(before - after)[:, 5:].max(axis=-1) > 1e-3).all()


@pytest.mark.pairwise
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("is_causal", [False, True])
def test_a_masked_row_is_the_row_without_its_padding(position, is_causal, implementation):
    x = normal(3, 7, 16)
    mask = np.array([[1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]], bool)
    layer = SelfAttention(4, 2, is_causal=is_causal, window=4, position=POSITIONS[position](4))
    padded = np.where(mask[..., None], x, 9.0)
    outputs = layer(padded, mask=mask)
    carrying = tf.constant(padded)
    carrying._keras_mask = tf.constant(mask)
    carried = layer(carrying)
    np.testing.assert_array_equal(carried, outputs)
    np.testing.assert_array_equal(carried._keras_mask, mask)
    for b in range(3):
        alone = layer(x[b : b + 1, mask[b]])[0]
        np.testing.assert_allclose(outputs[b][mask[b]], alone, rtol=0, atol=2e-6)
    by_lengths = layer(padded, lengths=tf.constant([5, 7, 7]))
    np.testing.assert_allclose(by_lengths[0, :5], outputs[0, :5], rtol=0, atol=1e-6)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_hole_takes_part_in_nothing(position, implementation):
    x, mask = normal(1, 6, 16), np.array([[1, 0, 1, 1, 0, 1]], bool)
    layer = SelfAttention(4, position=POSITIONS[position](4))
    before = layer(x, mask=mask).numpy()
    x[:, [1, 4]] += 1
    np.testing.assert_array_equal(layer(x, mask=mask).numpy()[mask], before[mask])
    x[:, 2] += 1
    assert np.abs(layer(x, mask=mask).numpy() - before)[mask].max(axis=-1).min() > 1e-3


@pytest.mark.pairwise
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("pieces", [[9], [1] * 9, [4, 1, 1, 3]])
def test_a_cache_gives_what_one_call_gives(position, window, pieces, implementation):
    x = normal(2, 9, 16)
    layer = SelfAttention(4, 2, is_causal=True, window=window, position=POSITIONS[position](4))
    whole = layer(x)
    cache, outputs = layer.empty_cache(2, 12), []
    for piece in tf.split(x, pieces, axis=1):
        output, cache = layer(piece, cache=cache)
        outputs.append(output)
    np.testing.assert_allclose(tf.concat(outputs, axis=1), whole, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(cache.length, [9, 9])


@pytest.mark.pairwise
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("by", ["lengths", "mask", "carried mask"])
def test_a_cache_of_rows_of_unequal_length(position, window, by, implementation):
    x, lengths = normal(3, 11, 16), np.array([8, 1, 5])
    layer = SelfAttention(4, is_causal=True, window=window, position=POSITIONS[position](4))
    whole = layer(x)
    mask = np.arange(8) < lengths[:, None]
    prompt = tf.constant(np.where(mask[..., None], x[:, :8], 9.0))
    if by == "carried mask":
        prompt._keras_mask = tf.constant(mask)
    padding = {"lengths": {"lengths": lengths}, "mask": {"mask": mask}}.get(by, {})
    _, cache = layer(prompt, cache=layer.empty_cache(3, 12), **padding)
    for step in range(3):
        outputs, cache = layer(np.stack([x[b, n + step] for b, n in enumerate(lengths)])[:, None], cache=cache)
        expected = np.stack([whole[b, n + step] for b, n in enumerate(lengths)])
        np.testing.assert_allclose(outputs[:, 0], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("jit_compile", "position", "window"), [(False, "rotary", None), (True, "relative", 3), (False, "alibi", 4)]
)
def test_a_cache_takes_what_is_real_wherever_it_stands(jit_compile, position, window):
    x = normal(4, 6, 16)
    mask = np.array([[0, 0, 1, 1, 1, 1], [1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], bool)
    layer = SelfAttention(4, 2, is_causal=True, window=window, position=POSITIONS[position](4))
    layer.build(x.shape)

    @tf.function(jit_compile=jit_compile)
    def extended(x, mask, cache):
        return layer(x, cache=cache, mask=mask)

    prompt = np.where(mask[..., None], x, np.nan)
    outputs, cache = extended(prompt, mask, layer.empty_cache(4, 12))
    np.testing.assert_array_equal(cache.length, [4, 3, 6, 0])
    # Another such piece, whose padding stands elsewhere, behind it.
    more, cache = extended(prompt[:, ::-1], mask[:, ::-1], cache)
    np.testing.assert_array_equal(cache.length, [8, 6, 12, 0])
    for b in range(4):
        real = np.concatenate([x[b, mask[b]], x[b, ::-1][mask[b, ::-1]]])[None]
        found = np.concatenate([outputs[b][mask[b]], more[b][mask[b, ::-1]]])
        np.testing.assert_allclose(found, layer(real)[0] if len(real[0]) else found, rtol=0, atol=5e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("by", ["mask", "lengths"])
def test_what_is_not_finite_at_padding_reaches_nothing(by, bad, implementation):
    layer, lengths = SelfAttention(4, 2, position=None, use_bias=True), np.array([4, 6])
    mask = np.arange(6) < lengths[:, None] if by == "lengths" else np.array([[1, 1, 0, 1, 1, 0], [1] * 6], bool)
    found = []
    for filling in (0.0, bad):
        x = tf.constant(np.where(mask[..., None], normal(2, 6, 16), filling), "float32")
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, **{by: lengths if by == "lengths" else mask})[mask]
            loss = tf.reduce_sum(tf.sin(outputs))
        found.append([outputs, *tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_variables)])])
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("is_causal", [False, True])
def test_padding_makes_no_array_of_pairs(is_causal):
    steps = 59
    layer = SelfAttention(2, is_causal=is_causal, window=40, position=AlibiBias(2))
    layer.build([None, None, 8])

    @tf.function(input_signature=[tf.TensorSpec([3, steps, 8]), tf.TensorSpec([3, steps], tf.bool)])
    def attend(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, mask=mask) + layer(x, lengths=tf.ones([3], tf.int32))
        return tape.gradient(outputs, x)

    operations = attend.get_concrete_function().graph.get_operations()
    assert {"IkelosAttention", "IkelosAttentionGrad"} <= {op.type for op in operations}
    shapes = [list(x.shape) for op in operations for x in op.outputs if x.shape.rank is not None]
    assert [3, 1, 1, steps] in shapes
    assert not [shape for shape in shapes if shape.count(steps) > 1]


def test_layers_share_a_position_and_go_on_sharing_it(tmp_path):
    shared = POSITIONS["relative"](2)
    inputs = keras.Input([None, 8])
    model = keras.Model(inputs, SelfAttention(2, position=shared)(SelfAttention(2, position=shared)(inputs)))
    assert sum(weight.path.endswith("embeddings") for weight in model.weights) == 1
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    first, second = again.layers[1:]
    assert first.position is second.position
    np.testing.assert_array_equal(again(normal(2, 5, 8)), model(normal(2, 5, 8)))
    first, second = keras.models.clone_model(model).layers[1:]
    assert first.position is not second.position


def test_one_op_rotates_query_and_key():
    layer = SelfAttention(4, 2)
    layer.build((None, None, 8))
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([2, 5, 8])).graph
    assert [op.type for op in graph.get_operations()].count("IkelosRotary") == 1


@pytest.mark.parametrize("position", ["rotary", "relative"])
def test_a_shared_position_of_another_policy(position):
    layer = SelfAttention(2, position=POSITIONS[position](2), dtype="mixed_bfloat16")
    assert layer(normal(2, 5, 8)).dtype == tf.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "Received: window=0"),
        ({"position": "sine"}, "Received: position='sine'"),
        (
            {"position": LearnedPositionEmbedding(5, name="mine")},
            "Received: position=<LearnedPositionEmbedding name=mine",
        ),
        ({"position": AlibiBias(2)}, "`num_heads`=4 heads. Received: position.num_heads=2"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        SelfAttention(4, **arguments)


def test_rotated_heads_must_be_of_even_size():
    with pytest.raises(ValueError, match=r"even multiple of `num_heads`=2.* Received: inputs.shape=\(None, None, 6\)"):
        SelfAttention(2).build((None, None, 6))
    SelfAttention(2, position=None).build((None, None, 6))


def test_who_has_no_cache():
    with pytest.raises(ValueError, match=r"`empty_cache` needs a built layer.* Received: layer 'mine', not built"):
        SelfAttention(2, name="mine").empty_cache(1, 5)
    layer = SelfAttention(2)
    layer.build((None, None, 8))
    with pytest.raises(ValueError, match=r"`is_causal` must be True with a `cache`.* Received: is_causal=False"):
        layer(normal(1, 5, 8), cache=layer.empty_cache(1, 5))

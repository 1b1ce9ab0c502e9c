import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels

rng = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _same_numbers_whichever_tests_run():
    global rng
    rng = np.random.default_rng(7)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


def expected_attention(
    query,
    key,
    value,
    bias=None,
    mask=None,
    scale=None,
    is_causal=False,
    query_seq_lengths=None,
    key_value_seq_lengths=None,
    local_window_size=None,
    query_offset=0,
):
    """One query after another in float64, straight from the definition."""
    (batch, steps, heads, size), keys = query.shape, key.shape[1]
    scale = size**-0.5 if scale is None else scale
    offsets = np.broadcast_to(query_offset, [batch])
    bias = np.broadcast_to(0.0 if bias is None else bias, [batch, heads, steps, keys])
    mask = np.broadcast_to(True if mask is None else mask, [batch, heads, steps, keys])
    outputs = np.zeros([batch, steps, heads, size])
    for b, t, n in itertools.product(range(batch), range(steps), range(heads)):
        if query_seq_lengths is not None and t >= query_seq_lengths[b]:
            continue
        position = offsets[b] + t
        seen = []
        for s in range(keys):
            near = local_window_size is None or (
                position - local_window_size[0] <= s <= position + local_window_size[1]
            )
            within = key_value_seq_lengths is None or s < key_value_seq_lengths[b]
            if near and within and mask[b, n, t, s] and not (is_causal and s > position):
                seen.append(s)
        if seen:
            head = n // (heads // key.shape[2])
            logits = key[b, seen, head].astype("float64") @ query[b, t, n] * scale + bias[b, n, t, seen]
            if logits.max() > -1e30:
                weights = np.exp(logits - logits.max())
                outputs[b, t, n] = weights / weights.sum() @ value[b, seen, head]
    return outputs


def configuration(seed):
    """Inputs and options drawn from all there are."""
    rng = np.random.default_rng(seed)
    batch, size = int(rng.integers(1, 4)), int(rng.choice([1, 3, 8]))
    key_heads, group = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    steps, keys = int(rng.choice([1, 5, 17])), int(rng.choice([1, 6, 23]))
    logits_shape = (batch, key_heads * group, steps, keys)
    options = {
        "scale": float(rng.uniform(0.1, 2)),
        "is_causal": True,
        "bias": rng.normal(size=thinned(rng, logits_shape)),
        "mask": rng.random(thinned(rng, logits_shape)) < 0.7,
        "query_seq_lengths": rng.integers(0, steps + 1, batch),
        "key_value_seq_lengths": rng.integers(0, keys + 1, batch),
        "local_window_size": tuple(int(x) for x in rng.integers(0, 8, 2)),
        "query_offset": [int(rng.integers(-3, 9)), rng.integers(-3, 9, batch)][rng.integers(2)],
    }
    chosen = {name: value for name, value in options.items() if rng.random() < 0.4}
    query = rng.normal(size=[batch, steps, key_heads * group, size]).astype("float32")
    key, value = rng.normal(size=[2, batch, keys, key_heads, size]).astype("float32")
    return (query, key, value), chosen


def thinned(rng, shape):
    """A shape that broadcasts to `shape`."""
    return [1 if rng.random() < 0.4 else size for size in shape]


@pytest.mark.parametrize("seed", range(60))
def test_follows_the_definition(seed):
    inputs, options = configuration(seed)
    outputs = kernels.attention(*inputs, **options)
    assert outputs.shape == inputs[0].shape
    np.testing.assert_allclose(outputs, expected_attention(*inputs, **options), rtol=0, atol=2e-5)


@pytest.mark.parametrize("steps", [59, 97])
@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"is_causal": True, "local_window_size": (15, 0)}, {"local_window_size": 4}],
)
def test_self_attention_of_odd_sizes(steps, options):
    query, key, value = normal(2, steps, 2, 13), normal(2, steps, 1, 13), normal(2, steps, 1, 13)
    outputs = kernels.attention(query, key, value, **options)
    if isinstance(options.get("local_window_size"), int):
        options = {"local_window_size": (options["local_window_size"],) * 2}
    np.testing.assert_allclose(outputs, expected_attention(query, key, value, **options), rtol=0, atol=1e-5)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_keras(is_causal, masked):
    query, key, value, bias = normal(2, 9, 4, 8), normal(2, 11, 4, 8), normal(2, 11, 4, 8), normal(2, 4, 9, 11)
    mask = rng.random([2, 1, 9, 11]) < 0.7 if masked else None
    if masked:
        # A query without any key is where the two differ: Keras gives the mean of the values.
        mask[..., 0] = True
    with tf.GradientTape(persistent=True) as tape:
        inputs = [tf.constant(x) for x in (query, key, value, bias)]
        tape.watch(inputs)
        ours = kernels.attention(*inputs[:3], bias=inputs[3], mask=mask, is_causal=is_causal)
        stock = keras.ops.dot_product_attention(*inputs[:3], bias=inputs[3], mask=mask, is_causal=is_causal)
        losses = [tf.reduce_sum(tf.sin(x)) for x in (ours, stock)]
    np.testing.assert_allclose(ours, stock, rtol=0, atol=2e-6)
    for a, b in zip(*(tape.gradient(loss, inputs) for loss in losses), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6)


def test_gradients_are_the_slopes():
    query, key, value = (normal(*shape).astype("float64") for shape in [(2, 3, 2, 2), (2, 4, 1, 2), (2, 4, 1, 2)])
    bias = normal(1, 2, 1, 4).astype("float64")

    def op(*inputs):
        return kernels.attention(
            *inputs,
            is_causal=True,
            query_seq_lengths=[2, 3],
            key_value_seq_lengths=[4, 1],
            local_window_size=(2, 0),
            query_offset=np.array([0, 2]),
        )

    analytic, numeric = tf.test.compute_gradient(op, [query, key, value, bias])
    for a, b in zip(analytic, numeric, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)
        assert np.abs(a).max() > 0.01


def test_rows_without_keys_and_beyond_the_lengths_are_zero_and_get_no_gradient():
    query, key, value = (tf.constant(normal(2, 4, 2, 3)) for _ in range(3))
    mask = np.ones([2, 1, 4, 4], bool)
    mask[0, :, 1] = False
    with tf.GradientTape() as tape:
        tape.watch(query)
        outputs = kernels.attention(query, key, value, mask=mask, query_seq_lengths=[4, 2])
        loss = tf.reduce_sum(tf.sin(outputs))
    gradient = tape.gradient(loss, query).numpy()
    empty = np.zeros([2, 4], bool)
    empty[0, 1] = empty[1, 2:] = True
    for x in (outputs.numpy(), gradient):
        assert (x[empty] == 0).all()
        assert (np.abs(x[~empty]).max(axis=(1, 2)) > 1e-3).all()


@pytest.mark.parametrize("never", [float("-inf"), np.finfo("float32").min])
def test_a_bias_without_bottom_forbids(never):
    query, key, value = (tf.constant(normal(1, 3, 1, 2)) for _ in range(3))
    # The first query could see the first key only: it must not see later ones instead.
    bias = tf.constant([[[[never, 0.0, 0.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(bias)
        outputs = kernels.attention(query, key, value, bias=bias, is_causal=True)
        loss = tf.reduce_sum(outputs)
    mask = np.array([[[[False, True, True]]]])
    np.testing.assert_array_equal(outputs, kernels.attention(query, key, value, mask=mask, is_causal=True))
    assert (outputs[0, 0].numpy() == 0).all()
    assert np.isfinite(tape.gradient(loss, bias)).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rounds_the_result_alone(dtype):
    inputs = [tf.cast(normal(2, 33, 2, 16), dtype) for _ in range(3)]
    outputs = kernels.attention(*inputs, is_causal=True)
    assert outputs.dtype == dtype
    exact = kernels.attention(*(tf.cast(x, tf.float32) for x in inputs), is_causal=True)
    np.testing.assert_array_equal(tf.cast(outputs, tf.float32), tf.cast(tf.cast(exact, dtype), tf.float32))


def test_large_logits_do_not_overflow():
    query, key, value = normal(1, 5, 1, 4) * 1e4, normal(1, 5, 1, 4) * 1e4, normal(1, 5, 1, 4)
    outputs = kernels.attention(query, key, value)
    np.testing.assert_allclose(outputs, expected_attention(query, key, value), rtol=0, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_traces_once_for_all_sizes_and_keeps_what_is_known(jit_compile):
    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec([None, None, 4, 8]),
            tf.TensorSpec([None, None, 2, 8]),
            tf.TensorSpec([None], tf.int32),
        ],
    )
    def attend(query, key, lengths):
        outputs = kernels.attention(query, key, key, is_causal=True, key_value_seq_lengths=lengths)
        assert outputs.shape.as_list() == [None, None, 4, 8]
        return outputs

    for batch, steps, keys in ((2, 5, 7), (1, 1, 3)):
        query, key, lengths = normal(batch, steps, 4, 8), normal(batch, keys, 2, 8), np.full(batch, 2, "int32")
        expected = expected_attention(query, key, key, is_causal=True, key_value_seq_lengths=lengths)
        np.testing.assert_allclose(attend(query, key, lengths), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "shapes", [[(0, 3, 2, 4), (0, 5, 1, 4)], [(2, 0, 2, 4), (2, 5, 1, 4)], [(2, 3, 2, 4), (2, 0, 1, 4)]]
)
@pytest.mark.parametrize("is_causal", [False, True])
def test_empty_axes(shapes, is_causal):
    query, key = (np.ones(shape, "float32") for shape in shapes)
    outputs = kernels.attention(query, key, key, is_causal=is_causal)
    np.testing.assert_array_equal(outputs, np.zeros(query.shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": np.ones([2, 3, 4], "float32")}, r"`query` must have rank 4.*Received: query.shape=\(2, 3, 4\)"),
        ({"key": np.ones([2, 3, 2, 4], "float64")}, "Received: key.dtype=float64, query.dtype=float32"),
        ({"value": np.ones([2, 4, 2, 4], "float32")}, r"one shape. Received: key.shape=\(2, 3, 2, 4\)"),
        ({"query": np.ones([2, 3, 3, 4], "float32")}, r"a multiple .* Received: query.shape=\(2, 3, 3, 4\)"),
        ({"query": np.ones([2, 3, 4, 5], "float32")}, r"one head size. Received: query.shape=\(2, 3, 4, 5\)"),
        ({"query": np.ones([3, 3, 2, 4], "float32")}, r"`query` and `key` must have one batch size"),
        (
            {"query": np.ones([1, 3, 2, 4], "float32")},
            r"Received: query.shape=\(1, 3, 2, 4\), key.shape=\(2, 3, 2, 4\)",
        ),
        ({"bias": np.ones([2, 1, 3, 4])}, r"here \[2, 2, 3, 3\]. Received: bias.shape=\(2, 1, 3, 4\)"),
        ({"bias": np.ones([1, 1, 1, 1, 3])}, r"Received: bias.shape=\(1, 1, 1, 1, 3\)"),
        ({"mask": np.ones([5, 3], bool)}, r"Received: mask.shape=\(5, 3\)"),
        ({"mask": np.ones([3, 3], "float32")}, "`mask` must be boolean. Received: mask.dtype=float32"),
        ({"query_seq_lengths": 3}, r"here \[2\]. Received: query_seq_lengths.shape=\(\)"),
        ({"key_value_seq_lengths": [3, 3, 3]}, r"Received: key_value_seq_lengths.shape=\(3,\)"),
        ({"key_value_seq_lengths": [3.0, 3.0]}, "Received: key_value_seq_lengths.dtype=float32"),
        ({"query_offset": [[1], [2]]}, r"a scalar or of shape .* Received: query_offset.shape=\(2, 1\)"),
        ({"query_offset": [1, 2, 3]}, r"Received: query_offset.shape=\(3,\)"),
        ({"local_window_size": (-1, 0)}, r"Received: local_window_size=\(-1, 0\)"),
        ({"local_window_size": (1, 2.5)}, r"Received: local_window_size=\(1, 2.5\)"),
        ({"local_window_size": (1, 2, 3)}, r"Received: local_window_size=\(1, 2, 3\)"),
        ({"implementation": "fast"}, "implementation='fast'"),
    ],
)
def test_errors_name_the_argument(changes, message):
    arguments = {name: np.ones([2, 3, 2, 4], "float32") for name in ("query", "key", "value")}
    with pytest.raises(ValueError, match=message):
        kernels.attention(**{**arguments, **changes})


def test_bias_and_mask_must_not_widen_an_axis_of_one():
    query = np.ones([1, 1, 1, 4], "float32")
    with pytest.raises(ValueError, match=r"Received: bias.shape=\(3, 1, 1, 1\)"):
        kernels.attention(query, query, query, bias=np.ones([3, 1, 1, 1]))


def test_integers_of_numpy_and_scalar_tensors_are_integers():
    query, key, value = normal(2, 5, 2, 4), normal(2, 7, 2, 4), normal(2, 7, 2, 4)
    expected = expected_attention(query, key, value, is_causal=True, local_window_size=(2, 2), query_offset=1)
    for window, offset in ((np.int64(2), np.int32(1)), ([np.int32(2), 2], tf.constant(1))):
        outputs = kernels.attention(query, key, value, is_causal=True, local_window_size=window, query_offset=offset)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)


def test_a_bias_that_is_nan_is_not_hidden():
    query, key, value = (normal(1, 2, 1, 3) for _ in range(3))
    outputs = kernels.attention(query, key, value, bias=np.array([[[[0.0, np.nan], [0.0, 0.0]]]], "float32"))
    assert np.isnan(outputs[0, 0]).all()
    assert np.isfinite(outputs[0, 1]).all()


def test_autograph_leaves_it_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "ikelos.kernels.reference.attention.attention",
        lambda query, *_, **__: seen.append(tf.__internal__.autograph.control_status_ctx().status.name) or query,
    )
    tf.function(lambda x: kernels.attention(x, x, x))(normal(1, 2, 1, 3))
    assert seen == ["DISABLED"]

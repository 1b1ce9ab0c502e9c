"""Both implementations against the definition in float64, and all the ways TensorFlow runs them."""

import functools
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.reference import attention as reference
from ikelos.kernels.reference import attention_streaming

rng = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _same_numbers_whichever_tests_run():
    global rng
    rng = np.random.default_rng(7)


@pytest.fixture(params=["native", "plain", "streaming"])
def attend(request, monkeypatch):
    """Returns the op in one implementation: native, or the reference at once or in small blocks."""
    if request.param == "streaming":
        monkeypatch.setattr(attention_streaming, "BLOCK", 8)
        monkeypatch.setattr(reference, "MOST_LOGITS_AT_ONCE", 0)
    implementation = "native" if request.param == "native" else "reference"
    return functools.partial(kernels.attention, implementation=implementation)


# Each implementation in a graph or compiled by XLA, the native one in both.
each_way = pytest.mark.parametrize(
    ("attend", "jit_compile"),
    [
        ("native", False),
        ("native", True),
        ("plain", False),
        ("streaming", True),
        pytest.param("plain", True, marks=pytest.mark.slow),
        pytest.param("streaming", False, marks=pytest.mark.slow),
    ],
    indirect=["attend"],
)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


def inputs_of(batch, queries, keys, heads, key_heads, size, value_size=None):
    value_size = size if value_size is None else value_size
    shapes = [(batch, queries, heads, size), (batch, keys, key_heads, size), (batch, keys, key_heads, value_size)]
    return [normal(*shape) for shape in shapes]


# (B, T, S, N, K, H, E): odd sizes, sizes of one, groups, values of another size, the largest size natively.
SIZES = [
    (1, 1, 1, 1, 1, 1, 1),
    (2, 5, 7, 2, 1, 7, 3),
    (1, 59, 97, 2, 2, 16, 16),
    (2, 97, 59, 3, 1, 7, 19),
    (1, 111, 111, 4, 2, 32, 32),
    (1, 7, 9, 2, 2, 256, 256),
    (2, 33, 40, 4, 4, 80, 1),
    (2, 1, 130, 4, 2, 64, 64),
    (3, 4, 97, 2, 1, 128, 128),
    (1, 1025, 59, 1, 1, 64, 64),
    (1, 59, 1025, 1, 1, 13, 64),
]


def thinned(generator, shape):
    """Returns a random shape that broadcasts to `shape`."""
    shape = [1 if generator.random() < 0.4 else size for size in shape]
    return shape[generator.integers(0, 3) :]


def option(name, generator, batch, queries, keys, heads):
    """Returns a random value of an option for the given sizes."""
    pairs = (batch, heads, queries, keys)
    lengths = functools.partial(generator.integers, 0, size=batch)
    if name == "bias":
        bias = generator.normal(size=thinned(generator, pairs)).astype("float32")
        return np.where(generator.random(bias.shape) < 0.1, np.float32("-inf"), bias)
    if name == "mask":
        mask = generator.random(thinned(generator, pairs)) < 0.7
        mask[..., : mask.shape[-2] // 4, :] = False  # rows without any key
        return mask
    if name == "local_window_size":
        return [int(generator.integers(0, keys)), tuple(map(int, generator.integers(0, 40, 2)))][generator.integers(2)]
    if name == "query_offset":
        low, high = -queries // 2, keys
        return [int(generator.integers(low, high)), generator.integers(low, high, batch)][generator.integers(2)]
    return {
        "scale": lambda: float(generator.uniform(-2, 2)),
        "is_causal": lambda: True,
        "query_seq_lengths": lambda: lengths(queries + 1) * generator.integers(0, 2, batch),
        "key_value_seq_lengths": lambda: lengths(keys + 1) * generator.integers(0, 4, batch).clip(0, 1),
        "alibi_slopes": lambda: generator.uniform(-0.1, 1, heads).astype("float32"),
        "dropout": lambda: (float(generator.uniform(0.1, 0.9)), generator.integers(-(2**31), 2**31, 2)),
    }[name]()


OPTIONS = [
    "scale",
    "is_causal",
    "bias",
    "mask",
    "query_seq_lengths",
    "key_value_seq_lengths",
    "local_window_size",
    "query_offset",
    "alibi_slopes",
    "dropout",
]


def options_of(names, seed, batch, queries, keys, heads):
    generator = np.random.default_rng(seed)
    options = {name: option(name, generator, batch, queries, keys, heads) for name in names}
    if "dropout" in options:
        options["dropout_rate"], options["dropout_seed"] = options.pop("dropout")
    return options


def combination(seed):
    """Returns random sizes and options."""
    generator = np.random.default_rng(seed)
    key_heads = int(generator.integers(1, 3))
    sizes = [int(x) for x in (generator.integers(1, 4), generator.choice([1, 2, 5, 17, 59]))]
    sizes += [int(generator.choice([1, 6, 23, 97])), key_heads * int(generator.integers(1, 4)), key_heads]
    sizes += [int(x) for x in (generator.choice([1, 3, 7, 16, 80]), generator.choice([1, 3, 8, 32]))]
    names = [name for name in OPTIONS if generator.random() < 0.4]
    return sizes, options_of(names, seed, *sizes[:4])


def forward_and_backward(attend, inputs, options, output_grad, residual_grad, jit_compile=None):
    """Returns output, residual and the gradients of query, key, value and the bias, if there is one; traces the op if
    `jit_compile` is given."""
    inputs = [tf.constant(x) for x in (*inputs, *([options["bias"]] if "bias" in options else []))]
    rest = {name: value for name, value in options.items() if name != "bias"}

    def run(inputs, output_grad, residual_grad):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = attend(*inputs, **rest, return_residual=True)
        return *outputs, *tape.gradient(outputs, inputs, output_gradients=[output_grad, residual_grad])

    if jit_compile is not None:
        run = tf.function(run, jit_compile=jit_compile)
    return run(inputs, tf.constant(output_grad), tf.constant(residual_grad))


def assert_right(oracle, attend, inputs, options, jit_compile=None):
    """Asserts that output, residual and all gradients are within the bounds of float32."""
    expected = oracle(*inputs, **options)
    output_grad, residual_grad = normal(*expected.output.shape), normal(*expected.residual.shape)
    results = forward_and_backward(attend, inputs, options, output_grad, residual_grad, jit_compile)
    gradients, bounds = expected.gradients(output_grad, residual_grad)
    names = ["output", "residual", "query", "key", "value", "bias"]
    expected_results = [expected.output, expected.residual, *gradients]
    all_bounds = [expected.output_bound, expected.residual_bound, *bounds]
    for name, result, right, bound in zip(names, results, expected_results, all_bounds, strict=False):
        oracle.assert_within(result, right, bound, name)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes(sizes, attend, attention_oracle):
    assert_right(attention_oracle, attend, inputs_of(*sizes), {})


@pytest.mark.pairwise
@pytest.mark.parametrize("sizes", [(2, 59, 97, 4, 2, 16, 16), (3, 1, 97, 2, 1, 64, 64)], ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_alone(name, sizes, attend, attention_oracle):
    options = options_of([name], zlib.crc32(name.encode()), *sizes[:4])
    assert_right(attention_oracle, attend, inputs_of(*sizes), options)


def features(seed, attend):
    """Returns the features of a combination that could trigger a fault."""
    sizes, options = combination(seed)
    given = {name: name in options for name in [*OPTIONS, "dropout_rate"]}
    return {"attend": attend, **dict(zip("BTSNKHE", sizes, strict=True)), **given}


@pytest.mark.pairwise(features=features)
@pytest.mark.parametrize("seed", range(40))
def test_options_together(seed, attend, attention_oracle):
    sizes, options = combination(seed)
    assert_right(attention_oracle, attend, inputs_of(*sizes), options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 1000))
def test_many_options_together(seed, attend, attention_oracle):
    sizes, options = combination(seed)
    assert_right(attention_oracle, attend, inputs_of(*sizes), options)


@pytest.mark.pairwise
@each_way
@pytest.mark.parametrize("names", [[], OPTIONS], ids=["none", "all"])
def test_traced_and_compiled(names, jit_compile, attend, attention_oracle):
    sizes = (2, 13, 29, 4, 2, 16, 8)
    options = options_of(names, 5, *sizes[:4])
    assert_right(attention_oracle, attend, inputs_of(*sizes), options, jit_compile=jit_compile)


@each_way
def test_one_trace_for_all_sizes(jit_compile, attend, attention_oracle):
    """All that may be unknown is, so also whether the bias has one element for all keys."""

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec([None, None, 4, 8]),
            tf.TensorSpec([None, None, 2, 8]),
            tf.TensorSpec([None, 4, None, None]),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([2], tf.int32),
        ],
    )
    def run(query, key, bias, lengths, seed):
        with tf.GradientTape() as tape:
            tape.watch([query, key, bias])
            outputs = attend(
                query,
                key,
                key,
                bias=bias,
                is_causal=True,
                key_value_seq_lengths=lengths,
                query_offset=lengths - 1,
                dropout_rate=0.3,
                dropout_seed=seed,
                return_residual=True,
            )
        assert outputs[0].shape.as_list() == [None, None, 4, 8]
        return *outputs, *tape.gradient(outputs[0], [query, key, bias])

    sizes = [(2, 5, 7, (2, 4, 5, 7)), (1, 3, 29, (1, 4, 1, 1)), (3, 3, 24, (1, 4, 3, 24)), (2, 1, 1, (1, 4, 1, 1))]
    # XLA compiles each again, which takes seconds.
    for batch, queries, keys, bias_shape in sizes[:2] if jit_compile else sizes:
        query, key, bias = normal(batch, queries, 4, 8), normal(batch, keys, 2, 8), normal(*bias_shape)
        lengths, seed = np.minimum(np.arange(1, batch + 1), keys).astype("int32"), np.array([1, -2], "int32")
        output, residual, query_grad, key_grad, bias_grad = run(query, key, bias, lengths, seed)
        expected = attention_oracle(
            query,
            key,
            key,
            bias,
            is_causal=True,
            key_value_seq_lengths=lengths,
            query_offset=lengths - 1,
            dropout_rate=0.3,
            dropout_seed=seed,
        )
        (right_query, right_key, right_value, right_bias), bounds = expected.gradients(
            np.ones_like(output), np.zeros_like(residual)
        )
        attention_oracle.assert_within(output, expected.output, expected.output_bound)
        attention_oracle.assert_within(residual, expected.residual, expected.residual_bound)
        attention_oracle.assert_within(query_grad, right_query, bounds[0])
        attention_oracle.assert_within(key_grad - right_key, right_value, bounds[1] + bounds[2])
        attention_oracle.assert_within(bias_grad, right_bias, bounds[3])
    assert run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_keras(is_causal, masked, attend):
    query, key, value, bias = normal(2, 9, 4, 8), normal(2, 11, 4, 8), normal(2, 11, 4, 8), normal(2, 4, 9, 11)
    mask = rng.random([2, 1, 9, 11]) < 0.7 if masked else None
    if masked:
        # A query without any key is where the two differ: Keras gives the mean of the values.
        mask[..., 0] = True
    with tf.GradientTape(persistent=True) as tape:
        inputs = [tf.constant(x) for x in (query, key, value, bias)]
        tape.watch(inputs)
        ours = attend(*inputs[:3], bias=inputs[3], mask=mask, is_causal=is_causal)
        stock = keras.ops.dot_product_attention(*inputs[:3], bias=inputs[3], mask=mask, is_causal=is_causal)
        losses = [tf.reduce_sum(tf.sin(x)) for x in (ours, stock)]
    np.testing.assert_allclose(ours, stock, rtol=0, atol=2e-6)
    for a, b in zip(*(tape.gradient(loss, inputs) for loss in losses), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-6)


def test_gradients_are_the_slopes(attend, attention_oracle):
    """Slopes of the definition along random directions, by central differences in float64."""
    sizes = (2, 9, 11, 4, 2, 5, 3)
    options = options_of(["is_causal", "query_offset", "bias", "alibi_slopes", "dropout"], 3, *sizes[:4])
    options["bias"] = normal(1, 4, 1, 11)
    inputs = inputs_of(*sizes)
    output_grad, residual_grad = normal(2, 9, 4, 3), normal(2, 9, 4)
    _, residual, *gradients = forward_and_backward(attend, inputs, options, output_grad, residual_grad)
    residual_grad[np.isneginf(residual)] = 0

    def loss(steps, distance):
        moved = [x + distance * step for x, step in zip([*inputs, options["bias"]], steps, strict=True)]
        expected = attention_oracle(*moved[:3], **{**options, "bias": moved[3]})
        residual = np.where(np.isneginf(expected.residual), 0, expected.residual)
        return np.sum(expected.output * output_grad) + np.sum(residual * residual_grad)

    for chosen in range(4):
        steps = [rng.normal(size=x.shape) * (i == chosen) for i, x in enumerate([*inputs, options["bias"]])]
        slope = (loss(steps, 1e-5) - loss(steps, -1e-5)) / 2e-5
        products = gradients[chosen].numpy() * steps[chosen]
        # The differences are right to about 1e-10; the gradients' errors are far below 100 roundings.
        assert abs(products.sum() - slope) <= 100 * 2.0**-24 * abs(products).sum()
        assert abs(slope) > 0.01


def test_the_oracles_gradients_are_its_slopes(attention_oracle):
    sizes = (2, 5, 6, 4, 2, 3, 2)
    options = options_of([name for name in OPTIONS if name != "mask"], 8, *sizes[:4])
    options |= {"bias": normal(2, 1, 5, 1), "query_seq_lengths": [3, 5], "key_value_seq_lengths": [5, 4]}
    inputs = [x.astype("float64") for x in (*inputs_of(*sizes), options["bias"])]
    output_grad, residual_grad = rng.normal(size=[2, 5, 4, 2]), rng.normal(size=[2, 5, 4])

    def loss():
        expected = attention_oracle(*inputs, **{name: value for name, value in options.items() if name != "bias"})
        residual = np.where(np.isneginf(expected.residual), 0, expected.residual)
        return np.sum(expected.output * output_grad) + np.sum(residual * residual_grad)

    expected = attention_oracle(*inputs, **{name: value for name, value in options.items() if name != "bias"})
    for x, gradient in zip(inputs, expected.gradients(output_grad, residual_grad)[0], strict=True):
        assert np.abs(gradient).max() > 0.01
        for index in np.ndindex(x.shape):
            x[index] += 1e-5
            above = loss()
            x[index] -= 2e-5
            slope = (above - loss()) / 2e-5
            x[index] += 1e-5
            assert gradient[index] == pytest.approx(slope, abs=1e-8)


@each_way
def test_second_gradients(jit_compile, attend):
    """Against those of the plain reference in float64, which are TensorFlow's own."""
    sizes, names = (2, 5, 11, 4, 2, 3, 2), ["is_causal", "bias", "dropout", "key_value_seq_lengths"]
    options = options_of(names, 4, *sizes[:4])
    options["bias"] = normal(1, 4, 5, 1)
    weights = normal(2, 5, 4, 2), normal(2, 5, 4)

    def penalty(attend, dtype, inputs, weights):
        inputs, weights = ([tf.cast(x, dtype) for x in xs] for xs in (inputs, weights))
        rest = {name: value for name, value in options.items() if name != "bias"}
        with tf.GradientTape() as outer:
            outer.watch([*inputs, *weights])
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                output, residual = attend(*inputs, **rest, return_residual=True)
                residual = tf.where(tf.math.is_inf(residual), tf.zeros([], dtype), residual)
                loss = tf.reduce_sum(output**2 * weights[0]) + tf.reduce_sum(residual**2 * weights[1])
            gradients = inner.gradient(loss, inputs)
            size = sum(tf.reduce_sum(gradient**2) for gradient in gradients)
        return outer.gradient(size, [*inputs, *weights])

    inputs = [*inputs_of(*sizes), options["bias"]]
    ours = tf.function(penalty, jit_compile=jit_compile)(attend, tf.float32, inputs, weights)
    plain = functools.partial(kernels.attention, implementation="reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "MOST_LOGITS_AT_ONCE", 2**40)
        theirs = penalty(plain, tf.float64, inputs, weights)
    for a, b in zip(ours, theirs, strict=True):
        # Several levels of sums of up to 60 terms, with some cancellation.
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("names", [[], ["is_causal", "bias"], ["key_value_seq_lengths", "alibi_slopes"]], ids=str)
@pytest.mark.parametrize("sizes", [(2, 59, 97, 4, 2, 32, 32), (3, 1, 97, 2, 1, 64, 64)], ids=str)
def test_half_precision_errs_at_most_twice_as_much_as_naive_half_precision(
    sizes, names, dtype, attend, attention_oracle
):
    options = options_of(names, 6, *sizes[:4])
    inputs = [tf.cast(x, dtype) for x in inputs_of(*sizes)]
    bias = [tf.cast(np.maximum(options.pop("bias"), -1e4), dtype)] if "bias" in names else []
    output_grad = tf.cast(normal(*inputs[0].shape[:3], sizes[6]), dtype)

    def naive(query, key, value, bias=0.0):
        query, key, value = (tf.transpose(x, [0, 2, 1, 3]) for x in (query, key, value))
        key, value = (tf.repeat(x, sizes[3] // sizes[4], axis=1) for x in (key, value))
        forbidden = tf.where(expected.allowed, tf.zeros([], dtype), tf.constant(-3e4, dtype))
        logits = tf.matmul(query, key, transpose_b=True) * tf.constant(sizes[5] ** -0.5, dtype) + bias
        if "alibi_slopes" in options:
            distances = tf.cast(tf.abs(tf.range(sizes[1])[:, None] - tf.range(sizes[2])), dtype)
            logits -= tf.cast(options["alibi_slopes"], dtype)[:, None, None] * distances
        weights = tf.nn.softmax(logits + forbidden)
        weights = tf.where(tf.reduce_any(expected.allowed, -1, keepdims=True), weights, tf.zeros([], dtype))
        return tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch([*inputs, *bias])
            output = function(*inputs, *bias)
        return [output, *tape.gradient(output, [*inputs, *bias], output_gradients=output_grad)]

    expected = attention_oracle(*(tf.cast(x, tf.float64).numpy() for x in (*inputs, *bias)), **options)
    zeros = np.zeros(expected.residual.shape)
    gradients, bounds = expected.gradients(tf.cast(output_grad, tf.float64).numpy(), zeros)
    ours, theirs = run(functools.partial(attend, **options)), run(naive)
    exact, bounds = [expected.output, *gradients], [expected.output_bound, *bounds]
    for our, their, right, bound in zip(ours, theirs, exact, bounds, strict=True):
        assert our.dtype == dtype
        our_error, their_error = (np.abs(tf.cast(x, tf.float64) - right).max() for x in (our, their))
        # A query that sees one key has a gradient of exactly 0, which float32 may miss.
        assert our_error <= 2 * their_error + bound.max()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rounds_the_result_alone(dtype, attend):
    inputs = [tf.cast(x, dtype) for x in inputs_of(2, 33, 33, 2, 2, 16)]
    outputs, residual = attend(*inputs, is_causal=True, return_residual=True)
    assert (outputs.dtype, residual.dtype) == (dtype, tf.float32)
    exact = attend(*(tf.cast(x, tf.float32) for x in inputs), is_causal=True)
    np.testing.assert_array_equal(tf.cast(outputs, tf.float32), tf.cast(tf.cast(exact, dtype), tf.float32))


def test_rows_without_keys_and_beyond_the_lengths_are_zero_and_get_no_gradient(attend):
    query, key, value = (tf.constant(x) for x in inputs_of(2, 4, 9, 2, 2, 3))
    mask = np.ones([2, 1, 4, 9], bool)
    mask[0, :, 1] = False
    with tf.GradientTape() as tape:
        tape.watch(query)
        outputs, residual = attend(query, key, value, mask=mask, query_seq_lengths=[4, 2], return_residual=True)
        loss = tf.reduce_sum(tf.sin(outputs)) + tf.reduce_sum(residual)
    gradient = tape.gradient(loss, query).numpy()
    empty = np.zeros([2, 4], bool)
    empty[0, 1] = empty[1, 2:] = True
    for x in (outputs.numpy(), gradient):
        assert (x[empty] == 0).all()
        assert (np.abs(x[~empty]).max(axis=(1, 2)) > 1e-3).all()
    np.testing.assert_array_equal(np.isneginf(residual), np.repeat(empty[:, :, None], 2, axis=2))


@pytest.mark.parametrize("never", [float("-inf"), np.finfo("float32").min, -1e30])
def test_a_bias_without_bottom_forbids(never, attend):
    query, key, value = (tf.constant(x) for x in inputs_of(1, 3, 9, 1, 1, 2))
    # The first query could see the first key only: it must not see later ones instead.
    bias = tf.constant([[[[never] + [0.0] * 8]]])
    with tf.GradientTape() as tape:
        tape.watch(bias)
        outputs = attend(query, key, value, bias=bias, is_causal=True)
        loss = tf.reduce_sum(outputs)
    mask = np.array([[[[False] + [True] * 8]]])
    np.testing.assert_array_equal(outputs, attend(query, key, value, mask=mask, is_causal=True))
    assert (outputs[0, 0].numpy() == 0).all()
    gradient = tape.gradient(loss, bias).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[..., 0] == 0


def test_a_bias_that_is_nan_is_not_hidden(attend):
    query, key, value = inputs_of(1, 2, 9, 1, 1, 3)
    bias = np.zeros([1, 1, 2, 9], "float32")
    bias[0, 0, 0, 1] = np.nan
    outputs, residual = attend(query, key, value, bias=bias, return_residual=True)
    for x in (outputs, residual):
        assert np.isnan(x[0, 0]).all()
        assert np.isfinite(x[0, 1]).all()


def test_large_logits_do_not_overflow(attend, attention_oracle):
    query, key, value = inputs_of(1, 5, 9, 1, 1, 4)
    output, residual = attend(query * 1e4, key * 1e4, value, return_residual=True)
    expected = attention_oracle(query * np.float32(1e4), key * np.float32(1e4), value)
    # Of logits so far apart one is all.
    np.testing.assert_allclose(output, expected.output, rtol=1e-6)
    np.testing.assert_allclose(residual, expected.residual, rtol=1e-6)


@pytest.mark.parametrize("offset", [2**31 - 1, -(2**31)])
def test_positions_beyond_int32(offset, attend, attention_oracle):
    inputs = inputs_of(2, 5, 9, 2, 2, 4)
    options = {"is_causal": True, "local_window_size": (2**31, 2**31), "query_offset": np.array([offset, 0])}
    np.testing.assert_allclose(attend(*inputs, **options), attention_oracle(*inputs, **options).output, atol=1e-6)


def assert_empty_axes_give_nothing(run, empty, bias_axes):
    batch, queries, keys, heads = (
        0 if axis in empty else size for axis, size in zip("BTSN", (2, 3, 9, 4), strict=True)
    )
    inputs = inputs_of(batch, queries, keys, heads, heads // 2, 5, 7)
    sizes = zip("BNTS", (batch, heads, queries, keys), strict=True)
    inputs.append(normal(*(size if axis in bias_axes else 1 for axis, size in sizes)))
    grads = [normal(batch, queries, heads, 7), normal(batch, queries, heads)]
    results = run([tf.constant(x) for x in inputs], [tf.constant(x) for x in grads])
    output, residual, *gradients = (x.numpy() for x in results)
    np.testing.assert_array_equal(output, np.zeros([batch, queries, heads, 7]))
    np.testing.assert_array_equal(residual, np.full([batch, queries, heads], -np.inf))
    for gradient, x in zip(gradients, inputs, strict=True):
        np.testing.assert_array_equal(gradient, np.zeros(x.shape))


def causal_gradients(attend, inputs, grads):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = attend(*inputs, is_causal=True, return_residual=True)
    return *outputs, *tape.gradient(outputs, inputs, output_gradients=grads)


@pytest.mark.pairwise
@pytest.mark.parametrize(("bias_axes", "compiled"), [("", False), ("S", False), ("BNTS", False), ("S", True)], ids=str)
@pytest.mark.parametrize("empty", ["B", "T", "S", "N", "B and S"])
def test_empty_axes(empty, bias_axes, compiled, attend):
    run = functools.partial(causal_gradients, attend)
    assert_empty_axes_give_nothing(tf.function(run, jit_compile=True) if compiled else run, empty, bias_axes)


@each_way
def test_empty_axes_of_unknown_size(jit_compile, attend):
    signature = [
        [
            *(tf.TensorSpec([None, None, heads, size]) for heads, size in ((4, 5), (2, 5), (2, 7))),
            tf.TensorSpec([None] * 4),
        ],
        [tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 3)],
    ]
    run = tf.function(functools.partial(causal_gradients, attend), jit_compile=jit_compile, input_signature=signature)
    # XLA compiles each again.
    for empty, bias_axes in [("B", "S"), ("T", ""), ("S", "S"), ("B and S", "BNTS")]:
        assert_empty_axes_give_nothing(run, empty, bias_axes)


def test_a_gradient_of_gathered_rows(attend, attention_oracle):
    inputs = [tf.constant(x) for x in inputs_of(3, 5, 9, 2, 2, 4)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        # Its gradient is slices, not a tensor.
        loss = tf.reduce_sum(tf.gather(attend(*inputs), [0, 2]))
    output_grad = np.ones([3, 5, 2, 4])
    output_grad[1] = 0
    gradients, bounds = attention_oracle(*(x.numpy() for x in inputs)).gradients(output_grad, np.zeros([3, 5, 2]))
    for result, right, bound in zip(tape.gradient(loss, inputs), gradients, bounds, strict=True):
        attention_oracle.assert_within(result, right, bound)


def test_a_bias_of_another_type_is_cast_and_gets_its_gradient(attend):
    inputs = inputs_of(1, 3, 9, 2, 2, 4)
    bias = tf.constant(rng.normal(size=[3, 1]))
    with tf.GradientTape() as tape:
        tape.watch(bias)
        output, residual = attend(*inputs, bias=bias, return_residual=True)
    expected = attend(*inputs, bias=tf.cast(bias, tf.float32))
    np.testing.assert_array_equal(output, expected)
    gradient = tape.gradient(residual, bias)
    assert gradient.dtype == tf.float64
    # A row's weights add up to 1, for each of the two heads.
    np.testing.assert_allclose(gradient, np.full([3, 1], 2.0), rtol=1e-6)


def test_slopes_have_no_gradient(attend):
    inputs, slopes = inputs_of(1, 3, 9, 2, 2, 4), tf.constant([0.5, 0.25])
    with tf.GradientTape() as tape:
        tape.watch(slopes)
        outputs = attend(*inputs, alibi_slopes=slopes)
    assert tape.gradient(outputs, slopes) is None


def test_integers_of_numpy_and_scalar_tensors_are_integers(attend, attention_oracle):
    inputs = inputs_of(2, 5, 9, 2, 2, 4)
    expected = attention_oracle(*inputs, is_causal=True, local_window_size=(2, 2), query_offset=1)
    for window, offset in ((np.int64(2), np.int32(1)), ([np.int32(2), 2], tf.constant(1))):
        outputs = attend(*inputs, is_causal=True, local_window_size=window, query_offset=offset)
        attention_oracle.assert_within(outputs, expected.output, expected.output_bound)


@pytest.mark.parametrize("dtype", ["int64", "uint32", "int32", "uint8"])
def test_integers_of_all_types(dtype, attend):
    inputs = inputs_of(2, 5, 9, 2, 2, 4)
    numbers = {"query_seq_lengths": [2, 5], "key_value_seq_lengths": [9, 3], "query_offset": [1, 4]}
    expected = attend(*inputs, is_causal=True, **numbers)
    typed = {name: tf.constant(value, dtype) for name, value in numbers.items()}
    np.testing.assert_array_equal(attend(*inputs, is_causal=True, **typed), expected)


def test_dropout_is_a_function_of_its_seed(attend):
    inputs = inputs_of(2, 17, 40, 4, 2, 8)
    drop = functools.partial(attend, *inputs, dropout_rate=0.5)
    first = drop(dropout_seed=[3, 4])
    np.testing.assert_array_equal(drop(dropout_seed=tf.constant([3, 4], tf.int64)), first)
    unsigned = drop(dropout_seed=tf.constant([2**32 - 3, 4], tf.uint32))
    np.testing.assert_array_equal(drop(dropout_seed=[-3, 4]), unsigned)
    for other in ([3, 5], [4, 4], [4, 3]):
        assert np.mean(np.abs(drop(dropout_seed=other) - first) > 1e-3) > 0.9
    # Nothing is dropped, whatever the seed.
    np.testing.assert_array_equal(attend(*inputs, dropout_rate=0.0, dropout_seed=[3, 4]), attend(*inputs))


def test_the_gradient_drops_what_the_output_dropped(attend):
    """The output is linear in the values: with the unit matrix for them it is the weights themselves."""
    query, key, _ = inputs_of(1, 9, 24, 2, 1, 8)
    value = tf.constant(np.eye(24, dtype="float32")[None, :, None])
    options = {"dropout_rate": 0.4, "dropout_seed": [7, 9]}
    with tf.GradientTape() as tape:
        tape.watch(value)
        weights = attend(query, key, value, **options)
        loss = tf.reduce_sum(weights[..., :1])
    value_grad = tape.gradient(loss, value).numpy()[0, :, 0, 0]
    np.testing.assert_allclose(value_grad, tf.reduce_sum(weights, axis=(0, 1, 2)), rtol=1e-5, atol=1e-6)
    dropped = weights.numpy() == 0
    assert 0.2 < dropped.mean() < 0.6
    whole = attend(query, key, value).numpy()
    np.testing.assert_allclose(weights.numpy()[~dropped], whole[~dropped] / 0.6, rtol=1e-5)


def test_the_graph_shows_which_implementation_ran():
    def ops(implementation):
        def loss(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = kernels.attention(x, x, x, implementation=implementation)
            return tape.gradient(y, x)

        graph = tf.function(loss).get_concrete_function(tf.TensorSpec([None, 5, 2, 4])).graph
        return {op.type for op in graph.get_operations()}

    assert {"IkelosAttention", "IkelosAttentionGrad"} <= ops("native")
    assert not any(name.startswith("Ikelos") for name in ops("reference"))


def test_a_graph_has_what_is_given_alone():
    """An offset of 0 and a rate of 0 are no inputs of the op."""
    function = tf.function(functools.partial(kernels.attention, query_offset=0, dropout_rate=0.0, dropout_seed=[1, 2]))
    graph = function.get_concrete_function(*[tf.TensorSpec([1, 5, 2, 4])] * 3).graph
    (op,) = [op for op in graph.get_operations() if op.type == "IkelosAttention"]
    assert len(op.inputs) == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"dtype": "float64"}, "the native kernel takes float32, bfloat16 and float16, not float64"),
        ({"shape": (1, 2, 3, 257)}, "the native kernel takes a head size of at most 256, not 257"),
        ({"value_size": 257}, "the native kernel takes a value size of 1 to 256, not 257"),
        ({"value_size": 0}, "the native kernel takes a value size of 1 to 256, not 0"),
    ],
)
def test_explain(arguments, reason):
    assert str(kernels.explain("attention", **arguments)) == f"reference: {reason}"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_explain_native(dtype):
    assert kernels.explain("attention", dtype, (1, 2, 3, 256), value_size=256).implementation == "native"


@pytest.mark.parametrize(("size", "value_size"), [(257, 3), (3, 257), (3, 0)])
def test_sizes_beyond_the_native_kernel_are_the_references(size, value_size, attention_oracle):
    inputs = inputs_of(1, 2, 3, 1, 1, size, value_size)
    outputs = kernels.attention(*inputs)
    expected = attention_oracle(*inputs)
    attention_oracle.assert_within(outputs, expected.output, expected.output_bound)
    with pytest.raises(ValueError, match=f"must be 'reference' for attention: .*{size if size > 256 else value_size}"):
        kernels.attention(*inputs, implementation="native")


def test_autograph_leaves_it_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "ikelos.kernels.reference.attention.attention",
        lambda query, *_, **__: (seen.append(tf.__internal__.autograph.control_status_ctx().status.name), query),
    )
    tf.function(lambda x: kernels.attention(x, x, x, implementation="reference"))(normal(1, 2, 1, 3))
    assert seen == ["DISABLED"]

"""The op against rotations of complex numbers in float64, and all the ways TensorFlow runs it."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.dispatch import library

ULP = 2.0**-24  # largest relative error of one rounding to float32
# B, T, N, K, H; K = 0 is no key.
SHAPES = [(1, 1, 4, 4, 64), (2, 7, 3, 1, 10), (3, 59, 2, 0, 2), (2, 111, 2, 2, 118)]
ROUNDINGS = {tf.float32: 2.0**-24, tf.bfloat16: 2.0**-8, tf.float16: 2.0**-11}


def drawn(shape, dtype=tf.float32):
    """Returns query and, unless K is 0, key; positions `[B,T]` up to 2**20; and frequencies, float32."""
    batch, steps, *heads, size = shape
    draw = np.random.default_rng(size)
    arrays = [tf.cast(draw.normal(size=[batch, steps, n, size]), dtype) for n in heads if n]
    positions = draw.integers(-50, 2**20, [batch, steps], dtype=np.int32)
    return arrays, positions, (1e4 ** (-np.arange(size // 2) / (size // 2))).astype("float32")


def in_float64(x, positions, frequencies, magnitude=1.0):
    """Returns the rotation of `x` by the angles in float32, and sums of the absolute terms, for tolerances."""
    x = tf.cast(x, tf.float64).numpy()
    first, second = np.split(x, 2, axis=-1)
    angles = (positions.astype("float32")[..., None, None] * frequencies).astype("float64")
    turned = magnitude * (first + 1j * second) * np.exp(1j * angles)
    sine, cosine = abs(np.sin(angles)), abs(np.cos(angles))
    sizes = [abs(first) * cosine + abs(second) * sine, abs(second) * cosine + abs(first) * sine]
    return np.concatenate([turned.real, turned.imag], axis=-1), abs(magnitude) * np.concatenate(sizes, axis=-1)


def run(arrays, positions, frequencies, magnitude=1.0, implementation="native", jit_compile=False):
    @tf.function(jit_compile=jit_compile)
    def rotate(arrays, positions):
        inputs = arrays if len(arrays) == 2 else arrays[0]
        outputs = kernels.rotary(inputs, positions, frequencies, magnitude, implementation)
        return outputs if len(arrays) == 2 else [outputs]

    return rotate(arrays, positions)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", list(ROUNDINGS), ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_rotates_complex_numbers(shape, dtype, jit_compile):
    arrays, by_row, frequencies = drawn(shape, dtype)
    for positions in (by_row, by_row[0], by_row[:1]):
        outputs = run(arrays, positions, frequencies, -1.5, jit_compile=jit_compile)
        for x, y in zip(arrays, outputs, strict=True):
            assert y.dtype == dtype
            expected, size = in_float64(x, positions, frequencies, -1.5)
            # The roundings of sine or cosine, of a product and of the sum, and that of the result; in float16 below
            # 2**-14 to multiples of 2**-24.
            bound = 3.1 * ULP * size + ROUNDINGS[dtype] * abs(expected) + (2.0**-25 if dtype == tf.float16 else 0)
            np.testing.assert_array_less(abs(tf.cast(y, tf.float64) - expected), bound + 1e-30)


@pytest.mark.parametrize("position", [2**20, 2**24 - 1, 2**31 - 1, -(2**31)])
def test_angles_may_be_large(position):
    x = tf.constant(np.random.default_rng(0).normal(size=[1, 1, 1, 64]), tf.float32)
    # Beyond 3.4e9 radians, those of frequencies above 1, numbers of quarter turns have more than 31 bits.
    frequencies, positions = np.geomspace(3e4, 1e-4, 32).astype("float32"), np.array([position], "int32")
    (y,) = run([x], positions, frequencies)
    expected, size = in_float64(x, positions, frequencies)
    np.testing.assert_array_less(abs(y - expected), 4 * ULP * size)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_gradients_are_those_of_the_reference(dtype, jit_compile):
    arrays, positions, frequencies = drawn((2, 7, 3, 2, 10), dtype)

    @tf.function(jit_compile=jit_compile)
    def gradients(implementation):
        with tf.GradientTape() as outer:
            outer.watch(arrays)
            with tf.GradientTape() as inner:
                inner.watch(arrays)
                query, key = kernels.rotary(arrays, positions % 1000, frequencies, 0.75, implementation)
                loss = tf.reduce_sum(query[:, :, :2] ** 3 * tf.roll(key, 1, axis=-1))
            first = inner.gradient(loss, arrays)
            penalty = sum(tf.reduce_sum(x**2) for x in first)
        return *first, *outer.gradient(penalty, arrays)

    for native, reference in zip(gradients("native"), gradients("reference"), strict=True):
        assert native.dtype == dtype
        native, reference = (tf.cast(x, tf.float64).numpy() for x in (native, reference))
        # Some ten roundings of the formulas above in that dtype.
        np.testing.assert_allclose(native, reference, rtol=0, atol=20 * ROUNDINGS[dtype] * abs(reference).max())


def test_gradient_of_one_of_two():
    arrays, positions, frequencies = drawn((2, 7, 3, 2, 10))
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        _, key = kernels.rotary(arrays, positions, frequencies, implementation="native")
    query_grad, key_grad = tape.gradient(key, arrays, output_gradients=arrays[1])
    np.testing.assert_array_equal(query_grad, np.zeros([2, 7, 3, 10]))
    expected, size = in_float64(arrays[1], -positions, frequencies)
    np.testing.assert_array_less(abs(key_grad - expected), 4 * ULP * size)


@pytest.mark.parametrize("implementation", ["native", "reference"])
def test_frequencies_get_no_gradient(implementation):
    frequencies = tf.constant([1.0, 0.1, 0.01])
    with tf.GradientTape() as tape:
        tape.watch(frequencies)
        y = kernels.rotary(X, range(5), frequencies, implementation=implementation)
    assert tape.gradient(y, frequencies) is None


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(0, 3, 2, 1, 4), (2, 0, 2, 1, 4), (2, 3, 2, 1, 0)])
def test_nothing_to_rotate(shape, jit_compile):
    arrays, positions, frequencies = drawn(shape)
    for x, y in zip(arrays, run(arrays, positions, frequencies, jit_compile=jit_compile), strict=True):
        assert y.shape == x.shape


@pytest.mark.parametrize("jit_compile", [False, True])
def test_transposed_and_strided_inputs(jit_compile):
    # XLA may leave a transposed operand as it lies in memory, unless the call says which layout it takes.
    (x,), _, frequencies = drawn((5, 14, 3, 0, 6))

    @tf.function(jit_compile=jit_compile)
    def of_transposed(implementation):
        y = kernels.rotary(tf.transpose(x, [1, 2, 0, 3])[::2], tf.range(3), frequencies, implementation=implementation)
        return tf.transpose(y)

    np.testing.assert_allclose(of_transposed("native"), of_transposed("reference"), rtol=0, atol=1e-6)


def test_inputs_that_are_needed_later_stay():
    # The op may write into the memory of inputs that nobody else needs.
    (x,), positions, frequencies = drawn((2, 7, 3, 0, 10))

    @tf.function
    def before_and_after(x):
        made = x + 1.0
        once = kernels.rotary(made, positions, frequencies, implementation="native")
        twice = kernels.rotary(once, positions, frequencies, implementation="native")
        return made, twice

    before = tf.identity(x)
    made, twice = before_and_after(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(made, before + 1.0)
    expected, _ = in_float64(made, positions, frequencies)
    expected, _ = in_float64(tf.constant(expected), positions, frequencies)
    # Two rotations, each with the error of a sum of two products that may cancel.
    np.testing.assert_allclose(twice, expected, rtol=0, atol=16 * ULP * abs(expected).max())


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_trace_for_all_sizes(jit_compile, implementation):
    unknown = [tf.TensorSpec([None, None, n, 6]) for n in (3, 2)]
    traced = tf.function(
        lambda query, key, positions: kernels.rotary(
            [query, key], positions, [1.0, 0.1, 0.01], implementation=implementation
        ),
        input_signature=[*unknown, tf.TensorSpec([None, None], tf.int32)],
        jit_compile=jit_compile,
    )
    for batch, steps in ((1, 1), (2, 5), (3, 4)):
        arrays, positions, _ = drawn((batch, steps, 3, 2, 6))
        positions %= 100
        for native, expected in zip(
            traced(*arrays, positions), run(arrays, positions, [1.0, 0.1, 0.01], 1.0, "reference"), strict=True
        ):
            np.testing.assert_allclose(native, expected, rtol=0, atol=1e-5)
    assert traced.experimental_get_tracing_count() == 1


def test_the_graph_shows_which_implementation_ran():
    def ops(implementation, dtype=tf.float32):
        traced = tf.function(lambda x: kernels.rotary([x, x], [1, 2], [1.0, 0.1], implementation=implementation))
        graph = traced.get_concrete_function(tf.TensorSpec([1, 2, 3, 4], dtype)).graph
        return [op.type for op in graph.get_operations()]

    assert ops("native").count("IkelosRotary") == 1
    assert ops(None).count("IkelosRotary") == 1
    assert "IkelosRotary" not in ops("reference")
    assert "IkelosRotary" not in ops(None, tf.float64)
    # The two share their sines.
    assert ops("reference").count("Sin") == 1


GOOD = {"query": (2, 5, 3, 6), "key": (2, 5, 4, 6), "positions": (2, 5), "frequencies": (3,)}
X = tf.ones(GOOD["query"])


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": X[0]}, r"`inputs` must be of shape \[B,T,N,H\]. Received: inputs.shape=\(5, 3, 6\)"),
        ({"inputs": X[..., :5]}, r"`inputs` must be even. Received: inputs.shape=\(2, 5, 3, 5\)"),
        ({"inputs": tf.cast(X, tf.int32)}, "`inputs` must be of a floating type, one of .*int32"),
        ({"inputs": [X]}, "`inputs` must be one tensor or two. Received: 1 tensors"),
        ({"inputs": [X, X, X]}, "`inputs` must be one tensor or two. Received: 3 tensors"),
        ({"inputs": [X, X[:1]]}, r"`inputs` must have the same dtype, B, T and H. .*\(2, 5, 3, 6\).*\(1, 5, 3, 6\)"),
        ({"inputs": [X, X[:, :1]]}, "`inputs` must have the same dtype, B, T and H"),
        ({"inputs": [X, X[..., :4]]}, "`inputs` must have the same dtype, B, T and H"),
        ({"inputs": [X, tf.cast(X, tf.float16)]}, "`inputs` must have the same .*float32.*float16"),
        (
            {"positions": [1]},
            r"`positions` must be of shape .* here \[5\] or \[2,5\]. Received: positions.shape=\(1,\)",
        ),
        ({"positions": 1}, r"`positions` must be of shape \[T\] or \[B,T\]. Received: positions.shape=\(\)"),
        ({"positions": [1.0] * 5}, "`positions` must be integers. Received: positions.dtype=float32"),
        ({"frequencies": [1.0]}, r"`frequencies` must be of shape \[H/2\], here \[3\]. .*shape=\(1,\)"),
        ({"magnitude": float("inf")}, "`magnitude` must be a number that is finite in float32. .*inf"),
    ],
)
def test_errors_name_the_argument(changes, message, implementation):
    arguments = {"inputs": X, "positions": range(5), "frequencies": [1.0, 0.1, 0.01], **changes}
    with pytest.raises(ValueError, match=message):
        kernels.rotary(**arguments, implementation=implementation)


WHEN = ["eager", "traced", "shapes known late", "compiled", "compiled, shapes known late"]


def op(query, key, positions, frequencies, **attributes):
    return library().ikelos_rotary(
        query=query, key=[key], positions=tf.cast(positions, tf.int32), frequencies=frequencies, **attributes
    )


def in_graph(arguments, when):
    late = when.endswith("shapes known late")
    specs = [tf.TensorSpec(None if late else argument.shape) for argument in arguments]
    return tf.function(lambda *arrays: op(*arrays), input_signature=specs, jit_compile=when.startswith("compiled"))


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("argument", "shape", "message"),
    [
        ("query", (2, 5, 6), r"`query` must have shape \[B, T, N, 2 \* F\].*\[2,5,6\]"),
        ("query", (2, 5, 3, 5), r"`query` must have shape \[B, T, N, 2 \* F\].*\[2,5,3,5\]"),
        ("key", (2, 4, 4, 6), r"`key` must have shape .*where T = 5 as in `query`"),
        ("key", (1, 5, 4, 6), r"`key` must have shape .*where B = 2 as in `query`"),
        ("key", (2, 5, 4, 8), r"`key` must have shape .*where F = 3 as in `query`"),
        ("positions", (1,), r"`positions` must have shape \[T\], where T = 5 as in `query`"),
        ("positions", (2, 1), r"`positions` must have shape \[B or 1, T\], where T = 5"),
        ("positions", (3, 5), r"`positions` must have shape \[B or 1, T\], where B = 2"),
        ("positions", (), r"`positions` must have shape \[B or 1, T\]"),
        ("frequencies", (1,), r"`frequencies` must have shape \[F\], where F = 3 as in `query`"),
        ("frequencies", (3, 1), r"`frequencies` must have shape \[F\]"),
    ],
)
def test_the_op_checks_shapes_whenever_it_learns_them(argument, shape, message, when):
    arguments = [tf.ones(shape if name == argument else good) for name, good in GOOD.items()]
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        op(*arguments) if when == "eager" else in_graph(arguments, when)(*arguments)


@pytest.mark.parametrize("when", WHEN[1:])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (2, 5)])
def test_shapes_that_fit_are_taken_whenever_they_are_known(shape, when):
    arguments = [tf.ones(shape if name == "positions" else good) for name, good in GOOD.items()]
    for ours, theirs in zip(tf.nest.flatten(in_graph(arguments, when)(*arguments)), arguments[:2], strict=True):
        expected, _ = in_float64(theirs, np.ones([5]), np.ones([3], "float32"))
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_the_op_refuses_attributes_that_are_invalid():
    arguments = [tf.ones(shape) for shape in GOOD.values()]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`magnitude` must be finite. Received: magnitude=nan"):
        op(*arguments, magnitude=float("nan"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`num_key` must be 0 or 1. Received: num_key=2"):
        library().ikelos_rotary(query=X, key=[X, X], positions=tf.range(5), frequencies=tf.ones([3]))

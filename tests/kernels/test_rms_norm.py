"""The native op against formulas in float64, and all the ways TensorFlow runs it."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.dispatch import library

ULP = 2.0**-24  # largest relative error of one rounding to float32
SHAPES = [(1, 1), (59, 1), (3, 59), (7, 97), (2, 5, 111), (2, 1025), (700, 64)]


def inputs(shape, dtype=tf.float32):
    x, dy = (tf.cast(tf.random.stateless_normal(shape, [len(shape), seed]), dtype) for seed in (1, 2))
    return x, tf.cast(tf.random.stateless_normal(shape[-1:], [len(shape), 3]), dtype), dy


def in_float64(x, scale, dy, epsilon=1e-6):
    """Returns y, dx, dscale and, for tolerances, the sums of the absolute terms of dx and dscale."""
    x, scale, dy = (np.asarray(tf.cast(tensor, tf.float64)) for tensor in (x, scale, dy))
    rstd = 1 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + epsilon)
    normal, g = x * rstd, dy * scale
    dx = rstd * (g - normal * np.mean(g * normal, axis=-1, keepdims=True))
    dx_size = rstd * (abs(g) + abs(normal) * np.mean(abs(g * normal), axis=-1, keepdims=True))
    rows = tuple(range(x.ndim - 1))
    return normal * scale, dx, np.sum(dy * normal, axis=rows), dx_size, np.sum(abs(dy * normal), axis=rows)


def run(x, scale, dy, implementation="native", jit_compile=False, epsilon=1e-6):
    @tf.function(jit_compile=jit_compile)
    def forward_and_backward(x, scale, dy):
        with tf.GradientTape() as tape:
            tape.watch([x, scale])
            y = kernels.rms_norm(x, scale, epsilon, implementation)
        return y, *tape.gradient(y, [x, scale], output_gradients=dy)

    return forward_and_backward(x, scale, dy)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_float32_against_float64(shape, jit_compile):
    x, scale, dy = inputs(shape)
    y, dx, dscale = run(x, scale, dy, jit_compile=jit_compile)
    expected_y, expected_dx, expected_dscale, dx_size, dscale_size = in_float64(x, scale, dy)
    # Longest chains of additions: 4 sums of 4 lanes at least for a row, all rows for dscale; 10 single roundings.
    depth = shape[-1] / 16 + 10
    rows = np.prod(shape[:-1])
    np.testing.assert_array_less(abs(y - expected_y), abs(expected_y) * depth * ULP + 1e-30)
    np.testing.assert_array_less(abs(dx - expected_dx), dx_size * 2 * depth * ULP + 1e-30)
    np.testing.assert_array_less(abs(dscale - expected_dscale), dscale_size * (depth + rows) * ULP + 1e-30)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(3, 59), (2, 5, 111), (2, 1025)])
def test_bfloat16_errs_at_most_twice_as_much_as_naive_bfloat16(shape, jit_compile):
    x, scale, dy = inputs(shape, tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch([x, scale])
        epsilon = tf.constant(1e-6, tf.bfloat16)
        naive = x * tf.math.rsqrt(tf.reduce_mean(x * x, axis=-1, keepdims=True) + epsilon) * scale
    naive = (naive, *tape.gradient(naive, [x, scale], output_gradients=dy))
    ours = run(x, scale, dy, jit_compile=jit_compile)
    for our, their, exact in zip(ours, naive, in_float64(x, scale, dy), strict=False):
        assert our.dtype == tf.bfloat16
        our_error, their_error = (np.abs(tf.cast(value, tf.float64) - exact).max() for value in (our, their))
        assert our_error <= 2 * their_error


@pytest.mark.parametrize("implementation", ["native", "reference"])
def test_gradient_is_the_slope(implementation):
    x, scale, _ = inputs((3, 5))

    def loss(x, scale):
        return tf.reduce_sum(kernels.rms_norm(x, scale, 1e-2, implementation) ** 3)

    theory, numeric = tf.test.compute_gradient(loss, [x, scale], delta=1e-2)
    for slope, difference in zip(theory, numeric, strict=True):
        np.testing.assert_allclose(slope, difference, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_second_gradient_equals_that_of_the_reference(jit_compile):
    x, scale, _ = inputs((3, 59))

    @tf.function(jit_compile=jit_compile)
    def penalty(implementation):
        with tf.GradientTape() as outer:
            outer.watch([x, scale])
            with tf.GradientTape() as inner:
                inner.watch([x, scale])
                loss = tf.reduce_sum(kernels.rms_norm(x, scale, 1e-2, implementation) ** 3)
            gradients = inner.gradient(loss, [x, scale])
            size = sum(tf.reduce_sum(gradient**2) for gradient in gradients)
        return outer.gradient(size, [x, scale])

    for native, reference in zip(penalty("native"), penalty("reference"), strict=True):
        # Sums of up to 59 terms, three levels of them, with some cancellation.
        np.testing.assert_allclose(native, reference, rtol=1e-4, atol=1e-4 * np.abs(reference).max())


@pytest.mark.parametrize("shape", [(0, 5), (2, 0, 5), (0, 1)])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_no_rows(shape, jit_compile):
    y, dx, dscale = run(*inputs(shape), jit_compile=jit_compile)
    assert y.shape == dx.shape == shape
    np.testing.assert_array_equal(dscale, np.zeros(shape[-1:]))


def test_a_row_of_zeros_stays_zero():
    y, dx, _ = run(tf.zeros([2, 5]), tf.ones([5]), tf.ones([2, 5]), epsilon=1e-4)
    np.testing.assert_array_equal(y, np.zeros([2, 5]))
    np.testing.assert_allclose(dx, np.full([2, 5], 100.0), rtol=1e-6)  # 1 / sqrt(epsilon)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_transposed_and_strided_inputs(jit_compile):
    # XLA may leave a transposed operand as it lies in memory, unless the call says which layout it takes.
    x, scale, _ = inputs((59, 7))

    @tf.function(jit_compile=jit_compile)
    def of_transposed(implementation):
        y = kernels.rms_norm(tf.transpose(x)[::2], scale=tf.tile(scale, [9])[:59], implementation=implementation)
        return tf.transpose(y)

    np.testing.assert_allclose(of_transposed("native"), of_transposed("reference"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_trace_for_all_batch_sizes(jit_compile):
    _, scale, _ = inputs((1, 97))
    traced = tf.function(
        lambda x: run(x, scale, x),
        input_signature=[tf.TensorSpec([None, None, 97])],
        jit_compile=jit_compile,
    )
    for batch in (1, 5, 2):
        x, _, _ = inputs((batch, 3, 97))
        for native, reference in zip(traced(x), run(x, scale, x, "reference"), strict=True):
            np.testing.assert_allclose(native, reference, rtol=1e-5, atol=1e-5)
    assert traced.experimental_get_tracing_count() == 1


def test_the_graph_shows_which_implementation_ran():
    def ops(implementation):
        traced = tf.function(lambda x: kernels.rms_norm(x, tf.ones([8]), implementation=implementation))
        return {op.type for op in traced.get_concrete_function(tf.TensorSpec([None, 8])).graph.get_operations()}

    assert "IkelosRmsNorm" in ops("native")
    assert "IkelosRmsNorm" not in ops("reference")


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(
    ("x", "scale", "epsilon", "message"),
    [
        (tf.ones([]), tf.ones([1]), 0.0, r"`x` must have at least one axis.*shape=\(\)"),
        (tf.ones([2, 5], tf.int32), tf.ones([5]), 0.0, "`x` must be of a floating type, one of .*int32"),
        (tf.ones([2, 5]), tf.ones([1]), 0.0, r"`scale` must have shape \[D\].*\(1,\).*\(2, 5\)"),
        (tf.ones([2, 5]), tf.ones([5, 1]), 0.0, r"`scale` must have shape \[D\].*\(5, 1\).*\(2, 5\)"),
        (tf.ones([2, 5]), tf.ones([5]), -1.0, "`epsilon` must be at least 0.*-1.0"),
        (tf.ones([2, 5]), tf.ones([5]), float("nan"), "`epsilon` must be at least 0.*nan"),
    ],
)
def test_errors_name_the_argument(x, scale, epsilon, message, implementation):
    with pytest.raises(ValueError, match=message):
        kernels.rms_norm(x, scale, epsilon, implementation)


GOOD = {"x": (2, 5), "scale": (5,), "rstd": (2,), "dy": (2, 5)}


WHEN = ["eager", "traced", "shapes known late", "compiled", "compiled, shapes known late"]
BAD_X_AND_SCALE = [
    ("x", (), "`x` must have at least one axis"),
    ("scale", (), r"`scale` must have shape \[D\].*\[\].*\[2,5\]"),
    ("scale", (1,), r"`scale` must have shape \[D\].*\[1\].*\[2,5\]"),
    ("scale", (5, 1), r"`scale` must have shape \[D\].*\[5,1\].*\[2,5\]"),
]


def in_graph(op, arguments, when):
    late = when.endswith("shapes known late")
    specs = [tf.TensorSpec(None if late else argument.shape) for argument in arguments]
    return tf.function(op, input_signature=specs, jit_compile=when.startswith("compiled"))


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(("argument", "shape", "message"), BAD_X_AND_SCALE)
def test_the_op_checks_shapes_whenever_it_learns_them(argument, shape, message, when):
    arguments = [tf.ones(shape if name == argument else GOOD[name]) for name in ("x", "scale")]

    def op(x, scale):
        return library().ikelos_rms_norm(x=x, scale=scale).y

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        op(*arguments) if when == "eager" else in_graph(op, arguments, when)(*arguments)


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("argument", "shape", "message"),
    [
        *BAD_X_AND_SCALE,
        ("rstd", (2, 1), r"`rstd` must have the shape of `x` without its last axis.*\[2,1\].*\[2,5\]"),
        ("dy", (2, 4), r"`dy` must have the shape of `x`.*\[2,4\].*\[2,5\]"),
    ],
)
def test_the_gradient_op_checks_shapes_whenever_it_learns_them(argument, shape, message, when):
    arguments = [tf.ones(shape if name == argument else good) for name, good in GOOD.items()]

    def op(x, scale, rstd, dy):
        return library().ikelos_rms_norm_grad(x=x, scale=scale, rstd=rstd, dy=dy)

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        op(*arguments) if when == "eager" else in_graph(op, arguments, when)(*arguments)


@pytest.mark.parametrize("when", WHEN[1:])
def test_shapes_that_fit_are_taken_whenever_they_are_known(when):
    arguments = inputs((2, 5))
    native = in_graph(lambda x, scale, dy: run(x, scale, dy), arguments, when)(*arguments)
    for ours, theirs in zip(native, run(*arguments, "reference"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_op_refuses_a_negative_epsilon():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`epsilon` must be at least 0.*-1"):
        library().ikelos_rms_norm(x=tf.ones([2, 5]), scale=tf.ones([5]), epsilon=-1.0)


def test_sizes_known_only_inside_a_compiled_graph_are_refused_clearly():
    @tf.function(jit_compile=True)
    def of_some_rows(x, keep):
        return kernels.rms_norm(tf.boolean_mask(x, keep), tf.ones([5]), implementation="native")

    with pytest.raises(tf.errors.UnimplementedError, match="dynamic dimension"):
        of_some_rows(tf.ones([3, 5]), tf.constant([True, False, True]))

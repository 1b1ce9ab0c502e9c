"""The native ops against products in float64, and all the ways TensorFlow runs them."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.dispatch import library

IMPLEMENTATIONS = ["native", "reference"]
# Rows, features, and units of each matrix. The native op multiplies more than 16 rows in another way, and the reference
# splits large matrices.
SIZES = [(1, 59, (97,)), (3, 8, (1, 16, 111)), (16, 97, (33, 5)), (17, 31, (257, 64)), (0, 5, (3,)), (2, 0, (3,))]
SIZES += [(1, 1024, (512,)), (2, 2048, (1024, 33))]


def inputs(rows, size, units, dtype=tf.float32):
    draws = [tf.random.stateless_normal([rows, 1, size], [rows, 1])]
    draws += [tf.random.stateless_normal([size, width], [i, 2]) for i, width in enumerate(units)]
    return [tf.cast(x, dtype) for x in draws]


def products(x, *matrices):
    """Returns each product, and the sum of the absolute terms of each element, in float64."""
    x, *matrices = (np.asarray(tf.cast(tensor, tf.float64)) for tensor in (x, *matrices))
    return [(x @ matrix, abs(x) @ abs(matrix)) for matrix in matrices]


def silu(x):
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", SIZES)
def test_float32_against_float64(size, implementation, jit_compile):
    arguments = inputs(*size)

    @tf.function(jit_compile=jit_compile)
    def run(x, *matrices):
        gated = kernels.gated_dense(x, matrices[0], -matrices[0], implementation=implementation)
        return kernels.dense(x, matrices, implementation=implementation), gated

    found, gated = run(*arguments)
    expected = products(*arguments)
    for result, (product, terms) in zip(found, expected, strict=True):
        assert result.shape == product.shape
        np.testing.assert_array_less(abs(result - product), terms * 2.0**-20 + 1e-30)
    product, terms = expected[0]
    # The derivatives of the gated product are at most 1.1 times those of its square.
    np.testing.assert_array_less(abs(gated + silu(product) * product), terms * (terms + 1) * 2.0**-19 + 1e-30)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_the_reference_rounds_large_half_precision_products_once(dtype):
    arguments = inputs(2, 2048, (1024,), dtype)
    (expected, total), *_ = products(*arguments)
    (result,) = kernels.dense(arguments[0], arguments[1:], implementation="reference")
    # Half a unit in the last place of the result, and the error of a sum in float32.
    limit = abs(expected) * np.finfo(dtype.as_numpy_dtype).eps / 2 if dtype == tf.float16 else abs(expected) * 2.0**-8
    np.testing.assert_array_less(abs(tf.cast(result, tf.float64) - expected), limit + total * 2.0**-19)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_is_float32_rounded_once(dtype):
    arguments = inputs(5, 97, (33, 7), dtype)
    wide = [tf.cast(x, tf.float32) for x in arguments]
    for half, result in zip(kernels.dense(arguments[0], arguments[1:]), kernels.dense(wide[0], wide[1:]), strict=True):
        assert half.dtype == dtype
        np.testing.assert_array_equal(tf.cast(half, tf.float32), tf.cast(tf.cast(result, dtype), tf.float32))
    half, result = (kernels.gated_dense(x, matrix, matrix) for x, matrix, _ in (arguments, wide))
    np.testing.assert_array_equal(tf.cast(half, tf.float32), tf.cast(tf.cast(result, dtype), tf.float32))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_first_and_second_gradients_in_float64(implementation, jit_compile):
    arguments = inputs(3, 7, (5, 5, 2))

    def penalty(x, gate, up, other, implementation):
        with tf.GradientTape() as inner:
            inner.watch([x, gate, up, other])
            first, second, third = kernels.dense(x, [gate, up, other], implementation=implementation)
            gated = kernels.gated_dense(x, gate, up, implementation=implementation)
            loss = tf.reduce_sum(gated**2 + first * second) + tf.reduce_sum(third**3)
        gradients = inner.gradient(loss, [x, gate, up, other])
        return loss + sum(tf.reduce_sum(gradient**2) for gradient in gradients)

    def gradients(arguments, implementation):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            size = penalty(*arguments, implementation)
        return tape.gradient(size, arguments)

    found = tf.function(gradients, jit_compile=jit_compile)(arguments, implementation)
    expected = gradients([tf.cast(x, tf.float64) for x in arguments], "reference")
    for gradient, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, right, rtol=0, atol=1e-4 * np.abs(right).max())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gates_far_from_0_have_finite_gradients(implementation):
    # exp(100) is infinite in float32.
    x, gate, up = tf.ones([1, 1, 1]), tf.constant([[-1e4, -100.0, 100.0, 1e4]]), tf.ones([1, 4])
    with tf.GradientTape() as tape:
        tape.watch(gate)
        gated = kernels.gated_dense(x, gate, up, implementation=implementation)
    np.testing.assert_array_equal(gated[0, 0], [0, 0, 100, 1e4])
    np.testing.assert_array_equal(tape.gradient(gated, gate)[0], [0, 0, 1, 1])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_shapes_that_are_known_late(implementation):
    specs = [tf.TensorSpec([None, None, None]), tf.TensorSpec([None, None]), tf.TensorSpec([None, 3])]
    traced = tf.function(
        lambda x, *matrices: kernels.dense(x, matrices, implementation=implementation), input_signature=specs
    )
    assert [y.shape.as_list() for y in traced.get_concrete_function().outputs] == [[None, None, None], [None, None, 3]]
    x, first, second = inputs(4, 9, (5, 3))
    for result, (expected, _) in zip(traced(x, first, second), products(x, first, second), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "units", "parts"),
    [
        pytest.param(1024, (512,), 2, id="large"),
        pytest.param(2048, (512,), 4, id="very large"),
        pytest.param(1024, (511, 511), 2, id="two of which each is smaller"),
        pytest.param(1024, (512, 512), 4, id="two large ones"),
        pytest.param(1025, (512,), 1, id="odd"),
        pytest.param(1030, (511,), 1, id="parts without alignment"),
    ],
)
def test_the_reference_splits_large_matrices(size, units, parts):
    run = tf.function(lambda x, *matrices: kernels.dense(x, matrices, implementation="reference"))
    graph = run.get_concrete_function(*inputs(1, size, units)).graph
    assert sum(op.type == "MatMul" for op in graph.get_operations()) == parts


def test_the_graph_shows_which_implementation_ran():
    def ops(implementation):
        traced = tf.function(lambda x, w: kernels.dense(x, [w], implementation=implementation))
        specs = [tf.TensorSpec([None, 1, 8]), tf.TensorSpec([8, 2])]
        return {op.type for op in traced.get_concrete_function(*specs).graph.get_operations()}

    assert "IkelosDense" in ops("native")
    assert "IkelosDense" not in ops("reference")


X, W = tf.ones([2, 1, 5]), tf.ones([5, 3])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("x", "matrices", "message"),
    [
        (X, [], "`kernels` must be one to three matrices. Received: 0"),
        (X, [W] * 4, "`kernels` must be one to three matrices. Received: 4"),
        (X[0], [W], r"`x` must have shape \[batch, time, features\]. Received: x.shape=\(1, 5\)"),
        (tf.ones([2, 1, 5], tf.int32), [W], "`x` must be of a floating type.*int32"),
        (X, [W, tf.cast(W, tf.float64)], r"`kernels\[1\]` must have the dtype of `x`.*float64"),
        (X, [tf.ones([4, 3])], r"`kernels\[0\]` must have shape \[5, units\]. Received: .*\(4, 3\)"),
    ],
)
def test_errors_name_the_argument(x, matrices, message, implementation):
    with pytest.raises(ValueError, match=message):
        kernels.dense(x, matrices, implementation=implementation)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gate_and_up_must_match(implementation):
    with pytest.raises(ValueError, match=r"`gate` and `up` must have the same shape. .*\(5, 3\), up.shape=\(5, 2\)"):
        kernels.gated_dense(X, W, tf.ones([5, 2]), implementation=implementation)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_ops_check_shapes_that_are_known_late(jit_compile):
    unknown = tf.TensorSpec(None)
    dense = tf.function(
        lambda x, w: library().ikelos_dense(x=x, kernel_0=w, kernel_1=[], kernel_2=[]),
        input_signature=[unknown] * 2,
        jit_compile=jit_compile,
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="`kernel_0` must have shape"):
        dense(X, tf.ones([4, 3]))
    gated = tf.function(library().ikelos_gated_dense, input_signature=[unknown] * 3, jit_compile=jit_compile)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`kernel_1` must have shape"):
        gated(X, W, tf.ones([5, 2]))

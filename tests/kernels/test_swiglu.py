"""The native op against formulas in float64, and all the ways TensorFlow runs it."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.dispatch import library

ULP = 2.0**-24  # largest relative error of one rounding to float32
SHAPES = [(1,), (59,), (3, 97), (2, 5, 111), (0, 5), (3, 0), (130, 1025)]


def inputs(shape, dtype=tf.float32):
    draws = [tf.random.stateless_normal(shape, [len(shape), seed]) for seed in range(3)]
    # Gates to where the sigmoid is nearly 0 or 1.
    return [tf.cast(x, dtype) for x in (8 * draws[0], *draws[1:])]


def in_float64(gate, up, grad):
    """Returns the output, the gradients of `gate` and `up`, and the sum of the absolute terms of the former."""
    gate, up, grad = (np.asarray(tf.cast(x, tf.float64)) for x in (gate, up, grad))
    s = 1 / (1 + np.exp(-gate))
    size = abs(grad * up) * (s + abs(gate) * s)
    return gate * s * up, grad * up * s * (1 + gate * (1 - s)), grad * gate * s, size


def run(gate, up, grad, implementation="native", jit_compile=False):
    @tf.function(jit_compile=jit_compile)
    def forward_and_backward(gate, up, grad):
        with tf.GradientTape() as tape:
            tape.watch([gate, up])
            output = kernels.swiglu(gate, up, implementation)
        return output, *tape.gradient(output, [gate, up], output_gradients=grad)

    return forward_and_backward(gate, up, grad)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_float32_against_float64(shape, jit_compile):
    gate, up, grad = inputs(shape)
    results = run(gate, up, grad, jit_compile=jit_compile)
    output, gate_grad, up_grad, size = in_float64(gate, up, grad)
    # The sigmoid is within 2.5 units in the last place, that is 5 roundings; up to 5 single roundings follow.
    for result, expected, scale in zip(
        results, (output, gate_grad, up_grad), (abs(output), size, abs(up_grad)), strict=True
    ):
        assert result.shape == shape
        np.testing.assert_array_less(abs(result - expected), scale * 10 * ULP + 1e-30)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_half_precision_is_float32_rounded_once(dtype):
    arguments = inputs((3, 97), dtype)
    wide = run(*(tf.cast(x, tf.float32) for x in arguments))
    for half, result in zip(run(*arguments), wide, strict=True):
        assert half.dtype == dtype
        np.testing.assert_array_equal(tf.cast(half, tf.float32), tf.cast(tf.cast(result, dtype), tf.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_stays_so(value):
    output, _, up_grad = run(tf.constant([value]), tf.ones([1]), tf.ones([1]))
    assert not np.isfinite(output)
    assert not np.isfinite(up_grad)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_second_gradient_equals_that_of_the_reference(jit_compile):
    gate, up, _ = inputs((3, 59))

    @tf.function(jit_compile=jit_compile)
    def penalty(implementation):
        with tf.GradientTape() as outer:
            outer.watch([gate, up])
            with tf.GradientTape() as inner:
                inner.watch([gate, up])
                loss = tf.reduce_sum(kernels.swiglu(gate, up, implementation) ** 2)
            size = sum(tf.reduce_sum(gradient**2) for gradient in inner.gradient(loss, [gate, up]))
        return outer.gradient(size, [gate, up])

    for native, reference in zip(penalty("native"), penalty("reference"), strict=True):
        np.testing.assert_allclose(native, reference, rtol=1e-4, atol=1e-5 * np.abs(reference).max())


SIGNATURES = [tf.TensorSpec([None, None, 97]), tf.TensorSpec([None, None, None]), tf.TensorSpec(None)]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("spec", SIGNATURES)
def test_shapes_that_are_known_late(spec, jit_compile):
    traced = tf.function(lambda *x: run(*x), input_signature=[spec] * 3, jit_compile=jit_compile)
    for batch in (1, 5):
        arguments = inputs((batch, 3, 97))
        for native, reference in zip(traced(*arguments), run(*arguments, "reference"), strict=True):
            assert native.shape == (batch, 3, 97)
            np.testing.assert_allclose(native, reference, rtol=1e-5, atol=1e-5)
    assert traced.experimental_get_tracing_count() == 1


def test_the_static_shape_is_kept():
    traced = tf.function(kernels.swiglu, input_signature=[tf.TensorSpec([None, 3, 97])] * 2)
    assert traced.get_concrete_function().output_shapes == tf.TensorShape([None, 3, 97])


def test_the_graph_shows_which_implementation_ran():
    def ops(implementation):
        traced = tf.function(lambda x: kernels.swiglu(x, x, implementation))
        return {op.type for op in traced.get_concrete_function(tf.TensorSpec([None, 8])).graph.get_operations()}

    assert "IkelosSwiglu" in ops("native")
    assert "IkelosSwiglu" not in ops("reference")


def test_scalars_run_as_the_reference():
    np.testing.assert_allclose(kernels.swiglu(1.0, 2.0), 2 / (1 + np.exp(-1)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"at least one axis, not scalars.*implementation='native'"):
        kernels.swiglu(1.0, 2.0, implementation="native")


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(
    ("gate", "up", "message"),
    [
        (tf.ones([2, 5], tf.int32), tf.ones([2, 5]), "`gate` must be of a floating type, one of .*int32"),
        (tf.ones([2, 5]), tf.ones([2, 5], tf.float64), "`up` must have the dtype of `gate`.*float64.*float32"),
        (tf.ones([2, 5]), tf.ones([5]), r"`up` must have the shape of `gate`.*\(5,\).*\(2, 5\)"),
    ],
)
def test_errors_name_the_argument(gate, up, message, implementation):
    with pytest.raises(ValueError, match=message):
        kernels.swiglu(gate, up, implementation)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(5, 2), (3, 5)])
def test_the_ops_check_shapes_that_are_known_late(shape, jit_compile):
    forward = tf.function(library().ikelos_swiglu, input_signature=[tf.TensorSpec(None)] * 2, jit_compile=jit_compile)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`up` must have shape \[R, F\]"):
        forward(tf.ones([2, 5]), tf.ones(shape))
    backward = tf.function(
        library().ikelos_swiglu_grad, input_signature=[tf.TensorSpec(None)] * 3, jit_compile=jit_compile
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`output_grad` must have shape \[R, F\]"):
        backward(tf.ones([2, 5]), tf.ones([2, 5]), tf.ones(shape))

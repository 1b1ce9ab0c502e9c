import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers.projection import Projection, projected, projection


def test_is_built_without_a_bias_in_its_owners_policy():
    owner = keras.layers.Layer(dtype="mixed_bfloat16")
    layer = projection(owner, "first", [None, 5], 7, keras.initializers.GlorotUniform())
    (kernel,) = layer.weights
    assert (layer.name, layer.dtype_policy.name, kernel.shape) == ("first", "mixed_bfloat16", (5, 7))


def test_two_of_one_initializer_start_unequal():
    initializer = keras.initializers.GlorotUniform()
    first, second = (projection(keras.layers.Layer(), name, [None, 5], 7, initializer) for name in ("first", "second"))
    assert np.abs(first.kernel - second.kernel).max() > 0.1


def both(policy="float32"):
    """Returns a `Projection` and a stock layer with the same weights."""
    settings = {"activation": "tanh", "bias_initializer": "random_normal", "dtype": policy}
    ours, stock = Projection(7, **settings), keras.layers.Dense(7, **settings)
    for layer in (ours, stock):
        layer.build((None, 5))
    stock.set_weights(ours.get_weights())
    return ours, stock


def result_and_gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return y, *tape.gradient(y, [x, *layer.trainable_variables])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 1, 3, 5), (0, 3, 5), (2, 0, 5)])
def test_equals_the_stock_layer(policy, shape):
    ours, stock = both(policy)
    x = tf.random.stateless_normal(shape, seed=[1, 2])
    for found, expected in zip(result_and_gradients(ours, x), result_and_gradients(stock, x), strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(None, None, 5), (2, None, 5), (None, 3, 1, 5)])
def test_equals_the_stock_layer_where_sizes_are_unknown(shape):
    ours, stock = both()
    x = tf.random.stateless_normal([size or 2 for size in shape], seed=[1, 2])
    traced = [tf.function(layer, [tf.TensorSpec(shape)], autograph=False) for layer in (ours, stock)]
    # TensorFlow joins the product, the bias and the activation of ours into one op, which rounds once.
    np.testing.assert_allclose(traced[0](x), traced[1](x), rtol=1e-6)
    static, expected = (function.get_concrete_function().output_shapes.as_list() for function in traced)
    assert static == expected
    ours, stock = (len(function.get_concrete_function().graph.get_operations()) for function in traced)
    assert ours < 2 / 3 * stock


def test_its_last_axis_may_be_unknown_when_traced():
    ours, stock = both()
    x = tf.random.stateless_normal([2, 3, 5], seed=[1, 2])
    traced = [tf.function(layer, [tf.TensorSpec([None, None, None])], autograph=False) for layer in (ours, stock)]
    np.testing.assert_allclose(traced[0](x), traced[1](x), rtol=1e-6)


def test_it_is_compiled_quantized_and_adapted_as_the_stock_layer():
    x = tf.random.stateless_normal([2, 3, 5], seed=[1, 2])
    ours, stock = both()
    compiled = [tf.function(layer, jit_compile=True)(x) for layer in (ours, stock)]
    np.testing.assert_allclose(*compiled, rtol=1e-6)
    for layer in (ours, stock):
        layer.quantize("int8")
    np.testing.assert_array_equal(ours(x), stock(x))
    ours, stock = both()
    for layer in (ours, stock):
        layer.enable_lora(2)
    for low_rank in ("lora_kernel_a", "lora_kernel_b"):
        getattr(ours, low_rank).assign(tf.ones_like(getattr(ours, low_rank)))
        getattr(stock, low_rank).assign(getattr(ours, low_rank))
    np.testing.assert_array_equal(ours(x), stock(x))


def test_a_functional_model_takes_it():
    ours, stock = both()
    inputs = keras.Input((None, 5))
    x = np.random.default_rng(0).normal(size=[2, 3, 5]).astype("float32")
    models = [keras.Model(inputs, layer(inputs)) for layer in (ours, stock)]
    assert models[0].output.shape == (None, None, 7)
    np.testing.assert_array_equal(*(model(x) for model in models))


def steps(policy="float32"):
    """Returns a `Projection` and a stock layer with the same weights, and inputs of a single step."""
    return *both(policy), tf.random.stateless_normal([3, 1, 5], seed=[1, 2])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_single_step_equals_the_stock_layer(policy):
    ours, stock, x = steps(policy)
    tolerance = 1e-6 if policy == "float32" else 2e-2
    for found, expected in zip(result_and_gradients(ours, x), result_and_gradients(stock, x), strict=True):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def ops(function, *shapes):
    traced = tf.function(function, [tf.TensorSpec(shape) for shape in shapes], autograph=False)
    return [op.type for op in traced.get_concrete_function().graph.get_operations()]


def test_a_single_step_reads_the_weights_of_several_layers_in_one_op():
    ours, _, x = steps()
    ours.activation = keras.activations.linear
    assert ops(lambda x: projected([ours, ours], x), [None, 1, 5]).count("IkelosDense") == 1
    assert "IkelosDense" not in ops(lambda x: projected([ours, ours], x), [None, None, 5])
    for together in projected([ours, ours], x):
        np.testing.assert_array_equal(together, ours(x))
    with kernels.use("reference"):
        np.testing.assert_allclose(projected([ours], x)[0], ours(x), rtol=1e-6)


@pytest.mark.parametrize("changed", [lambda layer: layer.quantize("int8"), lambda layer: layer.enable_lora(2)])
def test_a_single_step_with_other_weights_is_that_of_the_stock_layer(changed):
    ours, stock, x = steps()
    for layer in (ours, stock):
        changed(layer)
    assert "IkelosDense" not in ops(ours, [None, 1, 5])
    np.testing.assert_allclose(ours(x), stock(x), rtol=1e-5, atol=1e-6)

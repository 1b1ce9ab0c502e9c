"""Tests that `SelfAttention` and `CrossAttention` share."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import CrossAttention, SelfAttention


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture(params=["native", "reference"])
def implementation(request):
    with kernels.use(request.param):
        yield


# Each with the stock layer's arguments that mean the same.
CASES = {
    "to all": (SelfAttention, {}, {}),
    "to the past": (SelfAttention, {"is_causal": True}, {"use_causal_mask": True}),
    "to a memory": (CrossAttention, {}, {}),
}


def stock_twin(layer, size):
    """Returns `keras.layers.GroupQueryAttention` in float64 with the weights of `layer`."""
    stock = keras.layers.GroupQueryAttention(
        layer.head_size, layer.num_heads, layer.num_key_value_heads, use_bias=layer.use_bias, dtype="float64"
    )
    stock.build([None, None, size], [None, None, layer.key.kernel.shape[0]])
    assert [x.name for x in stock.weights] == [x.name for x in layer.weights]
    stock.set_weights([np.reshape(x, y.shape) for x, y in zip(layer.weights, stock.weights, strict=True)])
    return stock


def results(layer, tensors, *arguments, **more):
    """Returns the outputs, and the gradients of `tensors` and the weights."""
    sources = [*tensors, *(x.value for x in layer.trainable_variables)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = layer(*arguments, **more)
        loss = tf.reduce_sum(tf.sin(outputs))
    return [outputs.numpy(), *(np.asarray(x) for x in tape.gradient(loss, sources))]


@pytest.mark.pairwise
@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_stock_layer(case, use_bias, key_heads, implementation):
    layer_class, arguments, stock_arguments = CASES[case]
    x, memory = normal(3, 7, 16), normal(3, 9, 16, seed=1)
    inputs = [x] if layer_class is SelfAttention else [x, memory]
    no_position = {"position": None} if layer_class is SelfAttention else {}
    layer = layer_class(4, key_heads, use_bias=use_bias, **arguments, **no_position)
    layer(*inputs)
    for i, weight in enumerate(layer.trainable_variables):
        weight.assign(normal(*weight.shape, seed=i) / 4)
    ours, wide = ([tf.constant(array, dtype) for array in inputs] for dtype in ("float32", "float64"))
    expected = results(stock_twin(layer, 16), wide, wide[0], wide[-1], **stock_arguments)
    # Half a last place of the largest number for each term of the sums on the way to a gradient.
    tolerance = 2.0**-24 * 3 * (7 + 9 + 16) * max(np.abs(exact).max() for exact in expected)
    for found, exact in zip(results(layer, ours, *ours), expected, strict=True):
        np.testing.assert_allclose(found, np.reshape(exact, found.shape), rtol=0, atol=tolerance)


@pytest.mark.parametrize("layer_class", [SelfAttention, CrossAttention])
def test_projections_of_one_shape_start_unequal(layer_class):
    layer = layer_class(2)
    layer(*[normal(1, 2, 8)] * (1 if layer_class is SelfAttention else 2))
    assert np.abs(layer.query.kernel - layer.key.kernel).max() > 0.1


@pytest.mark.parametrize("layer_class", [SelfAttention, CrossAttention])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "Received: num_heads=0"),
        ({"num_heads": 4, "num_key_value_heads": 0}, "Received: num_key_value_heads=0"),
        ({"num_heads": 4, "num_key_value_heads": 3}, "Received: num_heads=4, num_key_value_heads=3"),
    ],
)
def test_errors_name_the_argument(layer_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer_class(**arguments)


def test_shapes_must_be_those_of_sequences():
    for layer, inputs in ((SelfAttention(2), [normal(5, 8)]), (CrossAttention(2), [normal(2, 3, 5, 8)] * 2)):
        with pytest.raises(ValueError, match="expected ndim=3, found ndim="):
            layer(*inputs)
    with pytest.raises(ValueError, match=r"`memory` must be of shape \[B,S,M\]. Received: memory.shape=\(5, 8\)"):
        CrossAttention(2)(normal(2, 3, 8), normal(5, 8))


@pytest.mark.parametrize("layer_class", [SelfAttention, CrossAttention])
def test_heads_must_divide_the_features(layer_class):
    with pytest.raises(ValueError, match=r"multiple of `num_heads`=3. Received: inputs.shape=\(2, 5, 8\)"):
        layer_class(3)(*[normal(2, 5, 8)] * (1 if layer_class is SelfAttention else 2))

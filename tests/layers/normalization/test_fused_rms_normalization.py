import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import FusedRMSNormalization, convert
from ikelos.layers.testing import check_layer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def results_and_gradients(layer, inputs):
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        loss = tf.reduce_sum(tf.sin(outputs))
    return [outputs, *tape.gradient(loss, [inputs, layer.scale.value])]


@pytest.mark.parametrize(
    ("shape", "axis"),
    [([7, 59], -1), ([2, 3, 97], 2), ([2, 3, 5], [-1]), ([2, 5, 5], 1), ([2, 3, 5], [1, 2]), ([2, 3, 5], [-2, -1])],
)
@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_equals_the_stock_layer(shape, axis, epsilon):
    stock, fused = (
        layer_class(axis=axis, epsilon=epsilon)
        for layer_class in (keras.layers.RMSNormalization, FusedRMSNormalization)
    )
    for layer in (stock, fused):
        layer.build(shape)
        layer.scale.assign(normal(*layer.scale.shape, seed=2))
    inputs = normal(*shape) * 3
    for a, b in zip(results_and_gradients(fused, inputs), results_and_gradients(stock, inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)


def test_keeps_a_layers_promises():
    check_layer(FusedRMSNormalization, {"epsilon": 0.01}, normal(2, 3, 8), config_kwargs={"axis": 1})


def test_hands_a_mask_on_unlike_the_stock_layer():
    tokens, embedding = np.array([[3, 0], [1, 2]]), keras.layers.Embedding(4, 5, mask_zero=True)
    np.testing.assert_array_equal(FusedRMSNormalization()(embedding(tokens))._keras_mask, tokens != 0)
    with pytest.warns(UserWarning, match="does not support masking"):
        assert getattr(keras.layers.RMSNormalization()(embedding(tokens)), "_keras_mask", None) is None
    # A model that was converted gives what it gave.
    model = keras.Sequential([embedding, keras.layers.RMSNormalization(), keras.layers.GlobalAveragePooling1D()])
    with pytest.warns(UserWarning, match="does not support masking"):
        expected = model(tokens)
    with pytest.warns(UserWarning, match="does not support masking"):
        actual = convert(model)(tokens)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)

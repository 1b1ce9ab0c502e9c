import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels.reference.rms_norm import rms_norm


@pytest.mark.parametrize("shape", [(3, 59), (2, 3, 97), (5, 1)])
def test_equals_keras(shape):
    x, scale = tf.random.stateless_normal(shape, [0, 1]), tf.random.stateless_normal(shape[-1:], [0, 2])
    layer = keras.layers.RMSNormalization(epsilon=1e-3)
    layer.build(shape)
    layer.scale.assign(scale)
    np.testing.assert_allclose(rms_norm(x, scale, 1e-3), layer(x), rtol=1e-6, atol=1e-7)


def test_float64_against_numpy():
    x, scale = np.random.default_rng(0).normal(size=(7, 111)), np.arange(111.0)
    expected = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * scale
    np.testing.assert_allclose(rms_norm(tf.constant(x), tf.constant(scale), 1e-6), expected, rtol=1e-14)


def test_float16_squares_do_not_overflow():
    y = rms_norm(tf.fill([1, 4], tf.constant(60000.0, tf.float16)), tf.ones([4], tf.float16), 1e-6)
    np.testing.assert_array_equal(y, np.ones([1, 4], np.float16))


def test_scale_of_another_size_is_not_broadcast():
    traced = tf.function(
        lambda x, scale: rms_norm(x, scale, 1e-6),
        input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None])],
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`scale` must have shape \[D\]"):
        traced(tf.ones([2, 5]), tf.ones([1]))

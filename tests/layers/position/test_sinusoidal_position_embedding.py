import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import SinusoidalPositionEmbedding
from ikelos.layers.testing import check_layer


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def wave(position, feature, size, max_wavelength):
    """Returns one number by the paper's formula."""
    angle = position / max_wavelength ** (2 * (feature // 2) / size)
    return math.cos(angle) if feature % 2 else math.sin(angle)


def waves(positions, size, max_wavelength=10000.0):
    return np.array([[wave(int(p), feature, size, max_wavelength) for feature in range(size)] for p in positions])


def test_keeps_a_layers_promises():
    positions = np.array([[0, 1, 2, 3, 4], [7, 8, 9, 11, 400]], "int32")
    check_layer(
        SinusoidalPositionEmbedding,
        {"max_wavelength": 100.0},
        normal([2, 5, 6]),
        call_kwargs={"positions": positions},
    )
    check_layer(SinusoidalPositionEmbedding, {"max_wavelength": 100.0}, normal([2, 5, 6]))


@pytest.mark.parametrize("max_wavelength", [10000.0, 50.0])
def test_adds_the_waves_of_the_paper(max_wavelength):
    x = normal([2, 600, 10])
    outputs = SinusoidalPositionEmbedding(max_wavelength)(x)
    # Angles up to 600 radians are off by half their last place from each of two roundings.
    expected = x + waves(range(600), 10, max_wavelength)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=600 * 2.0**-23 + 1e-6)


def test_positions_may_go_on_and_differ_by_row():
    x, layer = normal([2, 4, 6]), SinusoidalPositionEmbedding()
    positions = np.array([[0, 1, 2, 3], [30, 31, 5, 0]])
    expected = x + np.stack([waves(row, 6) for row in positions])
    np.testing.assert_allclose(layer(x, positions), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(layer(x, positions[1])[1], layer(x, positions)[1], rtol=0, atol=1e-6)
    # The sines of a vector register and of single numbers differ in their last place.
    np.testing.assert_allclose(layer(x[:, 2:], np.arange(2, 4)), layer(x)[:, 2:], rtol=0, atol=1e-6)


def test_products_depend_on_the_distance_alone():
    embedded = SinusoidalPositionEmbedding(dtype="float64")(np.zeros([1, 300, 16]))[0].numpy()
    products = embedded @ embedded.T
    np.testing.assert_allclose(products[1:, 1:], products[:-1, :-1], rtol=0, atol=1e-11)


def test_half_precision_adds_exact_waves_and_rounds_once():
    x = tf.cast(normal([1, 700, 8]), tf.bfloat16)
    outputs = SinusoidalPositionEmbedding(dtype="mixed_bfloat16")(x)
    exact = tf.cast(x, tf.float32).numpy() + waves(range(700), 8)
    assert outputs.dtype == tf.bfloat16
    # Half of a bfloat16's last place, and 1e-4 for the angles.
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), exact, rtol=2.0**-8, atol=1e-4)


def test_masks_pass():
    model = keras.Sequential([keras.layers.Embedding(5, 6, mask_zero=True), SinusoidalPositionEmbedding()])
    outputs = model(np.array([[1, 2, 0], [3, 0, 0]]))
    assert outputs._keras_mask.numpy().tolist() == [[True, True, False], [True, False, False]]


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: max_wavelength=0"):
        SinusoidalPositionEmbedding(0)
    with pytest.raises(ValueError, match=r"must be even. Received: inputs.shape=\(1, 2, 3\)"):
        SinusoidalPositionEmbedding()(np.ones([1, 2, 3]))
    with pytest.raises(ValueError, match=r"`positions` must be integers. Received: positions.dtype=float"):
        SinusoidalPositionEmbedding()(np.ones([1, 2, 4]), np.array([0.0, 1.0]))

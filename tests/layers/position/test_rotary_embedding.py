import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import RotaryEmbedding
from ikelos.layers.testing import check_layer


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def rotated(x, positions, max_wavelength):
    """The pairs as complex numbers, in float64."""
    half = x.shape[-1] // 2
    pairs = x[..., :half].astype("float64") + 1j * x[..., half:]
    frequencies = max_wavelength ** (-np.arange(half) / half)
    pairs = pairs * np.exp(1j * positions[..., None, None] * frequencies)
    return np.concatenate([pairs.real, pairs.imag], axis=-1)


def test_keeps_a_layers_promises():
    check_layer(
        RotaryEmbedding,
        {"max_wavelength": 100.0},
        normal([2, 5, 3, 6]),
        call_kwargs={"positions": np.array([[0, 1, 2, 3, 4], [7, 8, 9, 11, 400]], "int32")},
    )


@pytest.mark.parametrize("max_wavelength", [10000.0, 50.0])
@pytest.mark.parametrize("positions", [np.arange(97), np.arange(97) + np.array([[0], [1025], [4000]])])
def test_turns_pairs_by_an_angle_proportional_to_the_position(positions, max_wavelength):
    x = normal([3, 97, 2, 10])
    outputs = RotaryEmbedding(max_wavelength)(x, positions)
    # The angle, of up to 4096 radians, is off by half its last place from each of two roundings.
    angle_error = positions.max() * 2.0**-23
    expected = rotated(x, positions, max_wavelength)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=np.abs(x).max() * 2 * angle_error + 1e-6)


def test_products_depend_on_the_distance_alone():
    query, key = normal([1, 1, 1, 16]), normal([1, 1, 1, 16], seed=1)
    layer = RotaryEmbedding()

    def product(query_position, key_position):
        return float(np.sum(layer(query, np.array([query_position])) * layer(key, np.array([key_position]))))

    assert product(3, 1) == pytest.approx(product(203, 201), abs=1e-3)
    assert product(3, 1) != pytest.approx(product(3, 0), abs=1e-2)


def test_bfloat16_inputs_are_turned_by_exact_angles():
    x = tf.cast(normal([1, 600, 2, 8]), tf.bfloat16)
    positions = np.arange(600)
    outputs = RotaryEmbedding(dtype="mixed_bfloat16")(x, positions)
    assert outputs.dtype == tf.bfloat16
    exact = rotated(tf.cast(x, tf.float32).numpy(), positions, 10000.0)
    # Nothing but the rounding of the result: half of its last place.
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), exact, rtol=2.0**-8, atol=1e-3)


def test_float64_is_kept():
    x = normal([1, 50, 2, 8]).astype("float64")
    outputs = RotaryEmbedding(dtype="float64")(x, np.arange(50))
    np.testing.assert_allclose(outputs, rotated(x, np.arange(50), 10000.0), rtol=0, atol=1e-13)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: max_wavelength=0"):
        RotaryEmbedding(0)
    with pytest.raises(ValueError, match=r"must be even. Received: inputs.shape=\(1, 2, 1, 3\)"):
        RotaryEmbedding()(np.ones([1, 2, 1, 3]), np.arange(2))

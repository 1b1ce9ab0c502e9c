import json
import math

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import RotaryEmbedding
from ikelos.layers.position import rotary_scaling
from ikelos.layers.testing import check_layer


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def rotated(x, positions, max_wavelength, frequencies=None):
    """Rotates the pairs as complex numbers, in float64."""
    half = x.shape[-1] // 2
    pairs = x[..., :half].astype("float64") + 1j * x[..., half:]
    if frequencies is None:
        frequencies = max_wavelength ** (-np.arange(half) / half)
    pairs = pairs * np.exp(1j * positions[..., None, None] * frequencies)
    return np.concatenate([pairs.real, pairs.imag], axis=-1)


SCALINGS = [
    {"kind": "linear", "factor": 4.0},
    {"kind": "ntk", "factor": 4.0},
    {"kind": "yarn", "factor": 4.0, "original_length": 500, "low_rotations": 0.5, "high_rotations": 20.0},
    {"kind": "llama3", "factor": 8.0, "original_length": 300, "low_rotations": 1.0, "high_rotations": 4.0},
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda scaling: scaling["kind"])
def test_keeps_a_layers_promises(scaling):
    check_layer(
        RotaryEmbedding,
        {"max_wavelength": 100.0, "scaling": scaling},
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


def interpolated(theta, factor, length, low, high):
    """Returns one frequency by the definition of "NTK-by-parts" interpolation of Peng et al. 2023."""
    turns = length / (2 * math.pi / theta)
    gamma = 0.0 if turns < low else 1.0 if turns > high else (turns - low) / (high - low)
    return (1 - gamma) * theta / factor + gamma * theta


def by_wavelength(theta, factor, length, low, high):
    """Returns one frequency by Llama 3.1's rule in terms of wavelengths."""
    wavelength = 2 * math.pi / theta
    if wavelength < length / high:
        return theta
    if wavelength > length / low:
        return theta / factor
    smooth = (length / wavelength - low) / (high - low)
    return (1 - smooth) * theta / factor + smooth * theta


def scaled(size, max_wavelength, scaling):
    """Returns frequencies and magnitude of a scaling with all its options, from the papers' formulas."""
    thetas = [max_wavelength ** (-2 * i / size) for i in range(size // 2)]
    factor, options = scaling["factor"], list(scaling.values())[1:]
    if scaling["kind"] == "linear":
        # Position m becomes m / s.
        return np.array([theta * (1 / factor) for theta in thetas]), 1.0
    if scaling["kind"] == "ntk":
        base = max_wavelength * factor ** (size / (size - 2))
        return np.array([base ** (-2 * i / size) for i in range(size // 2)]), 1.0
    if scaling["kind"] == "yarn":
        temperature = (0.1 * math.log(factor) + 1) ** -2
        return np.array([interpolated(theta, *options) for theta in thetas]), temperature**-0.5
    return np.array([by_wavelength(theta, *options) for theta in thetas]), 1.0


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda scaling: scaling["kind"])
@pytest.mark.parametrize("size", [4, 64])
def test_scaling_is_that_of_the_paper(scaling, size):
    x, positions = normal([1, 900, 2, size]).astype("float64"), np.arange(900)
    outputs = RotaryEmbedding(scaling=scaling, dtype="float64")(x, positions)
    frequencies, magnitude = scaled(size, 10000.0, scaling)
    expected = magnitude * rotated(x, positions, None, frequencies)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-11)
    plain = rotated(x, positions, 10000.0)
    assert np.abs(outputs - plain).max() > 0.1


def test_scaling_of_llama_31():
    # From its published configuration: heads of 128, base 500000, length 8192 times 8. Wavelengths below 2048
    # stay, those above 8192 are 8 times as long. Those of these pairs are 1956, 2402, 6695 and 8219.
    pairs = np.array([28, 29, 34, 35])
    thetas = 500000.0 ** (-2 * pairs / 128)
    scaling = rotary_scaling.complete({"kind": "llama3", "factor": 8.0, "original_length": 8192})
    changes = rotary_scaling.frequencies(128, 500000.0, scaling)[pairs] / thetas
    assert (changes[0], changes[3]) == (1, 1 / 8)
    # The mixtures by hand: shares of (8192 / 2402 - 1) / 3 = 0.803 and of (8192 / 6695 - 1) / 3 = 0.0745.
    np.testing.assert_allclose(changes[1:3], [1 / 8 + 0.803 * 7 / 8, 1 / 8 + 0.0745 * 7 / 8], rtol=1e-3)


def test_yarn_of_defaults():
    whole = rotary_scaling.complete({"kind": "yarn", "factor": 16, "original_length": 4096})
    assert (whole["low_rotations"], whole["high_rotations"]) == (1, 32)
    # The square root of 1/t is 0.1 ln(16) + 1.
    assert rotary_scaling.magnitude(whole) == pytest.approx(1.2772588722)


@pytest.mark.parametrize("kind", ["linear", "ntk", "yarn", "llama3"])
def test_a_factor_of_1_changes_nothing(kind):
    scaling = {"kind": kind, "factor": 1, **({"original_length": 50} if kind in ("yarn", "llama3") else {})}
    x = normal([1, 9, 1, 16])
    np.testing.assert_array_equal(RotaryEmbedding(scaling=scaling)(x, np.arange(9)), RotaryEmbedding()(x, np.arange(9)))


def test_linear_scaling_squeezes_positions_into_those_known():
    x = normal([1, 1, 1, 16])
    slow, plain = RotaryEmbedding(scaling={"kind": "linear", "factor": 4.0}), RotaryEmbedding()
    np.testing.assert_allclose(slow(x, np.array([400])), plain(x, np.array([100])), rtol=0, atol=1e-6)


def test_ntk_keeps_the_first_pair_and_squeezes_the_last():
    plain = rotary_scaling.frequencies(16, 10000.0, None)
    scaling = rotary_scaling.complete({"kind": "ntk", "factor": 5.0})
    changes = rotary_scaling.frequencies(16, 10000.0, scaling) / plain
    assert changes[0] == 1
    assert changes[-1] == pytest.approx(1 / 5)
    assert (np.diff(changes) < 0).all()


def test_config_has_the_defaults_and_is_not_that_dictionary():
    given = {"kind": "yarn", "factor": 4, "original_length": 128}
    layer = RotaryEmbedding(scaling=given)
    config = json.loads(json.dumps(layer.get_config()))
    assert config["scaling"] == {**given, "low_rotations": 1.0, "high_rotations": 32.0}
    assert "low_rotations" not in given
    x = normal([1, 9, 1, 16])
    np.testing.assert_array_equal(RotaryEmbedding.from_config(config)(x, np.arange(9)), layer(x, np.arange(9)))


@pytest.mark.parametrize("scaling", [None, *SCALINGS], ids=lambda scaling: scaling and scaling["kind"])
def test_products_depend_on_the_distance_alone(scaling):
    query, key = normal([1, 1, 1, 16]), normal([1, 1, 1, 16], seed=1)
    layer = RotaryEmbedding(scaling=scaling)

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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_are_rotated_as_each_is(dtype):
    # In the policy's dtype, but returned in their own.
    layer, positions = RotaryEmbedding(dtype=dtype), np.arange(5) + np.array([[0], [70]])
    arrays = [tf.constant(normal([2, 5, heads, 6])) for heads in (4, 1)]
    for both, x in zip(layer.rotate_both(*arrays, positions), arrays, strict=True):
        assert both.dtype == tf.float32
        np.testing.assert_array_equal(both, tf.cast(layer(x, positions), tf.float32))


def test_float64_is_kept():
    x = normal([1, 50, 2, 8]).astype("float64")
    outputs = RotaryEmbedding(dtype="float64")(x, np.arange(50))
    np.testing.assert_allclose(outputs, rotated(x, np.arange(50), 10000.0), rtol=0, atol=1e-13)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: max_wavelength=0"):
        RotaryEmbedding(0)
    with pytest.raises(ValueError, match=r"must be even. Received: inputs.shape=\(1, 2, 1, 3\)"):
        RotaryEmbedding()(np.ones([1, 2, 1, 3]), np.arange(2))
    with pytest.raises(ValueError, match=r"`positions` must be integers. Received: positions.dtype=float"):
        RotaryEmbedding()(np.ones([1, 2, 1, 4]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"more than one pair. Received: a head size of 2"):
        RotaryEmbedding(scaling={"kind": "ntk", "factor": 2})(np.ones([1, 2, 1, 2]), np.arange(2))


@pytest.mark.parametrize(
    ("scaling", "says"),
    [
        ({"factor": 2}, "must have a `kind`, one of"),
        ({"kind": "dynamic", "factor": 2}, "one of .'linear', 'ntk', 'yarn', 'llama3'.*Received: scaling=.*dynamic"),
        ({"kind": "linear"}, r"'linear' has the options \['factor'\]"),
        ({"kind": "linear", "factor": 2, "original_length": 8}, r"'linear' has the options \['factor'\]"),
        ({"kind": "yarn", "factor": 2}, "'yarn' has the options .*'original_length'"),
        ({"kind": "ntk", "factor": 0.5}, "`factor` of `scaling` must be at least 1"),
        ({"kind": "linear", "factor": math.nan}, "`factor` of `scaling` must be at least 1"),
        ({"kind": "yarn", "factor": 2, "original_length": 0}, "`original_length` of `scaling` must be positive"),
        ({"kind": "llama3", "factor": 2, "original_length": 8, "low_rotations": 4}, "low_rotations < high_rotations"),
    ],
)
def test_errors_name_the_option_of_scaling(scaling, says):
    with pytest.raises(ValueError, match=says):
        RotaryEmbedding(scaling=scaling)

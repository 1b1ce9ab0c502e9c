import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import AlibiBias
from ikelos.layers.testing import check_layer

QUERIES = np.array([[0, 1, 2], [5, 400, 401]], "int32")
KEYS = np.array([[0, 1, 2, 3], [400, 3, 5, 300]], "int32")


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_keeps_a_layers_promises():
    check_layer(AlibiBias, {"num_heads": 6}, QUERIES, call_kwargs={"key_positions": KEYS})


# From the text of the paper (8 and 16 heads), and the rule for other numbers by hand: the slopes of the power of two
# below, then the 1st, 3rd, 5th and so on of twice that power.
SLOPES = {
    1: [2.0**-8],
    2: [2.0**-4, 2.0**-8],
    3: [2.0**-4, 2.0**-8, 2.0**-2],
    6: [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3],
    8: [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256],
    12: [2.0**-n for n in (1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5)],
    16: [2.0 ** (-n / 2) for n in range(1, 17)],
}


@pytest.mark.parametrize("num_heads", SLOPES)
def test_slopes_are_those_published(num_heads):
    slopes = AlibiBias(num_heads).slopes()
    assert slopes.dtype == tf.float32
    np.testing.assert_array_equal(slopes, np.array(SLOPES[num_heads], "float32"))


def test_bias_is_the_slope_times_the_distance():
    bias = AlibiBias(3)(QUERIES, KEYS).numpy()
    assert bias.shape == (2, 3, 3, 4)
    for row, head, t, s in np.ndindex(*bias.shape):
        expected = -SLOPES[3][head] * abs(int(QUERIES[row, t]) - int(KEYS[row, s]))
        assert bias[row, head, t, s] == expected


def test_positions_may_have_a_batch_axis_or_not():
    layer = AlibiBias(2)
    both = layer(QUERIES, KEYS)
    np.testing.assert_array_equal(layer(QUERIES[1], KEYS[1]), both[1:])
    np.testing.assert_array_equal(layer(QUERIES, KEYS[1])[1], both[1])
    np.testing.assert_array_equal(layer(QUERIES[1], KEYS)[1], both[1])
    assert layer.compute_output_shape((3,), (4,)) == (1, 2, 3, 4)
    assert layer.compute_output_shape((3,), (5, 4)) == (5, 2, 3, 4)


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(("num_heads", "key_heads", "offset"), [(6, 2, 3), (4, 4, 0)])
def test_attention_with_the_slopes_is_attention_with_the_bias(implementation, num_heads, key_heads, offset):
    query, key, value = (
        normal([2, 70, num_heads, 8]),
        normal([2, 90, key_heads, 8], 1),
        normal([2, 90, key_heads, 8], 2),
    )
    layer = AlibiBias(num_heads)

    def attend(**how):
        return kernels.attention(query, key, value, query_offset=offset, implementation=implementation, **how)

    by_bias = attend(bias=layer(offset + np.arange(70), np.arange(90)))
    np.testing.assert_allclose(attend(alibi_slopes=layer.slopes()), by_bias, rtol=0, atol=1e-6)
    assert np.abs(attend() - by_bias).max() > 0.1


def test_bfloat16_bias_is_rounded_once():
    positions = np.arange(600)
    bias = AlibiBias(3, dtype="mixed_bfloat16")(positions, positions)
    assert bias.dtype == tf.bfloat16
    np.testing.assert_array_equal(bias, tf.cast(AlibiBias(3)(positions, positions), tf.bfloat16))


def test_config_is_json():
    config = json.loads(json.dumps(AlibiBias(5).get_config()))
    np.testing.assert_array_equal(AlibiBias.from_config(config).slopes(), AlibiBias(5).slopes())


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: num_heads=0"):
        AlibiBias(0)
    with pytest.raises(ValueError, match=r"`key_positions` must be integers. Received: key_positions.dtype=float"):
        AlibiBias(1)(np.array([0]), np.array([0.5]))
    with pytest.raises(ValueError, match=r"`query_positions` must be of shape .* Received: query_positions.shape=\(\)"):
        AlibiBias(1)(tf.constant(3), np.array([0]))

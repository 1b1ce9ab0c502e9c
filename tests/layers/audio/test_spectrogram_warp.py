import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import SpectrogramWarp
from ikelos.layers.testing import check_config, check_layer

LENGTHS = np.array([40, 25, 1, 0], "int32")


def noise(shape, seed=0):
    return np.random.default_rng(seed).uniform(1, 2, shape).astype("float32")


def places(layer, shape, axis, lengths=None):
    """The places from which a layer takes its values along an axis."""
    ramp = np.arange(shape[axis], dtype="float32").reshape([-1, 1] if axis == 1 else [1, -1])
    found = layer(np.broadcast_to(ramp, shape), lengths, training=True).numpy()
    return found[:, :, 0] if axis == 1 else found[:, 0]


def test_keeps_a_layers_promises():
    options = {"freq_warp": 0.2, "time_warp": 0.2, "seed": 5}
    check_layer(SpectrogramWarp, options, noise([2, 7, 5]), call_kwargs={"lengths": np.array([7, 4], "int32")})
    check_config(SpectrogramWarp, options)


def test_inference_changes_nothing():
    x = noise([3, 9, 5])
    np.testing.assert_array_equal(SpectrogramWarp(seed=1)(x), x)
    np.testing.assert_array_equal(SpectrogramWarp(0.0, 0.0)(x, training=True), x)


def test_frequencies_are_stretched_by_one_factor_per_row():
    found = places(SpectrogramWarp(0.2, 0.0, seed=1), (3000, 3, 20), axis=2)
    factors = found[:, 10] / 10
    np.testing.assert_allclose(found, np.minimum(factors[:, None] * np.arange(20), 19), atol=1e-4)
    np.testing.assert_allclose(np.histogram(factors, 4, (0.8, 1.2))[0], 750, atol=5 * 750**0.5)


def test_one_frame_moves_and_the_first_and_last_stay():
    lengths = np.repeat(LENGTHS, 500)
    found = places(SpectrogramWarp(0.0, 0.1, seed=1), (len(lengths), 40, 2), axis=1, lengths=lengths)
    for length in LENGTHS:
        rows = found[lengths == length]
        np.testing.assert_array_equal(rows[:, length:], np.broadcast_to(np.arange(length, 40), (500, 40 - length)))
        if length < 2:
            np.testing.assert_allclose(rows[:, :length], 0, atol=1e-5)
            continue
        last = length - 1
        np.testing.assert_allclose(rows[:, [0, last]], [[0, last]] * 500, atol=1e-4)
        # Two straight lines: the target is where they meet.
        before, after = rows[:, 1], last - rows[:, last - 1]
        target = last * (1 - after) / (before - after)
        bent = np.abs(before - after) > 0.02
        source = before * target
        assert np.all(np.abs(target - source)[bent] <= 0.1 * last + 0.05)
        assert np.all((source >= 0.25 * last - 0.05) & (source <= 0.75 * last + 0.05) | ~bent)
        assert np.abs(target - source)[bent].max() > 0.09 * last
        for row in np.flatnonzero(bent)[:50]:
            expected = np.interp(np.arange(length), [0, target[row], last], [0, source[row], last])
            np.testing.assert_allclose(rows[row, :length], expected, atol=0.02)


@pytest.mark.parametrize("warps", [(0.3, 0.0), (0.0, 0.2)])
def test_values_between_two_places_are_interpolated(warps):
    axis = 2 if warps[0] else 1
    shape = (4, 30, 16)
    at = places(SpectrogramWarp(*warps, seed=3), shape, axis)
    x = noise(shape)
    found = np.moveaxis(SpectrogramWarp(*warps, seed=3)(x, training=True).numpy(), axis, 2)
    old = np.moveaxis(x, axis, 2)
    for row in range(4):
        for line in range(found.shape[1]):
            expected = np.interp(at[row], np.arange(shape[axis]), old[row, line])
            np.testing.assert_allclose(found[row, line], expected, atol=1e-4)


def test_each_row_and_each_call_has_warps_of_its_own():
    layer, again = (SpectrogramWarp(seed=5) for _ in range(2))
    x = noise([4, 30, 12])
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert len({row.tobytes() for row in places(SpectrogramWarp(seed=5), x.shape, 1)}) == 4
    assert (first != second).any()
    np.testing.assert_array_equal(again(x, training=True), first)


def test_any_shape_is_traced_once_and_halves_stay_halves():
    layer = SpectrogramWarp(seed=1, dtype="mixed_bfloat16")
    call = tf.function(
        lambda x, n: layer(x, n, training=True),
        input_signature=[tf.TensorSpec([None, None, 6]), tf.TensorSpec([None], tf.int32)],
    )
    assert call(noise([2, 20, 6]), np.array([20, 5], "int32")).dtype == tf.bfloat16
    assert call.get_concrete_function().structured_outputs.shape.as_list() == [None, None, 6]
    assert call(noise([0, 20, 6]), np.zeros([0], "int32")).shape == (0, 20, 6)
    assert call(noise([2, 0, 6]), np.zeros([2], "int32")).shape == (2, 0, 6)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"`freq_warp` must be a number of at least 0 and below 1. Received: freq_"):
        SpectrogramWarp(freq_warp=1)
    with pytest.raises(ValueError, match=r"`time_warp` must be .* below 0.25. Received: time_warp=0.3"):
        SpectrogramWarp(time_warp=0.3)
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[B,T,M\]. Received: inputs.shape=\(3, 4\)"):
        SpectrogramWarp()(noise([3, 4]))
    with pytest.raises(ValueError, match=r"`inputs` must be floats. Received: inputs.dtype=.*int32"):
        SpectrogramWarp()(np.zeros([1, 3, 4], "int32"))

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import SpecAugment
from ikelos.layers.testing import check_config, check_layer

LENGTHS = np.array([20, 10, 3, 0], "int32")


def noise(shape, seed=0):
    return np.random.default_rng(seed).uniform(1, 2, shape).astype("float32")


def masked(layer, lengths, frames=20, bins=12):
    return layer(np.ones([len(lengths), frames, bins], "float32"), lengths, training=True).numpy() == 0


def test_keeps_a_layers_promises():
    options = {
        "num_freq_masks": 1,
        "freq_mask_size": 3,
        "num_time_masks": 3,
        "time_mask_share": 0.2,
        "seed": 5,
    }
    check_layer(SpecAugment, options, noise([2, 7, 5]), call_kwargs={"lengths": np.array([7, 4], "int32")})
    check_config(SpecAugment, options)


def test_inference_changes_nothing():
    x = noise([3, 9, 5])
    np.testing.assert_array_equal(SpecAugment(seed=1)(x), x)
    np.testing.assert_array_equal(SpecAugment(0, 0, 0, 0.0)(x, training=True), x)


def test_masks_of_time_are_spans_within_a_share_of_each_row():
    lengths = np.repeat(LENGTHS, 3000)
    found = masked(SpecAugment(0, 0, 1, 0.3, seed=1), lengths)
    # All frequencies or none.
    assert (found.all(2) == found.any(2)).all()
    widths = found[..., 0].sum(1)
    edges = np.diff(np.pad(found[..., 0].astype(int), [[0, 0], [1, 1]]))
    assert ((edges == 1).sum(1) == (widths > 0)).all()  # one span
    for length, longest in ((20, 6), (10, 3), (3, 0), (0, 0)):
        counts = np.bincount(widths[lengths == length], minlength=longest + 1)
        assert len(counts) == longest + 1
        expected = 3000 / (longest + 1)
        np.testing.assert_allclose(counts, expected, atol=5 * expected**0.5)
        assert not found[lengths == length, length:].any()
    # Of the spans of 3 frames in rows of 10, each of the 8 starts is equally likely.
    starts = found[..., 0].argmax(1)[(lengths == 10) & (widths == 3)]
    np.testing.assert_allclose(np.bincount(starts, minlength=8), len(starts) / 8, atol=5 * (len(starts) / 8) ** 0.5)


def test_masks_of_frequencies_are_bands_of_all_frames():
    found = masked(SpecAugment(1, 4, 0, 0.0, seed=1), np.full([3000], 20))
    assert (found.all(1) == found.any(1)).all()
    np.testing.assert_allclose(np.bincount(found[:, 0].sum(1)), 600, atol=5 * 600**0.5)
    # The widest band may be wider than there are frequencies.
    assert masked(SpecAugment(1, 40, 0, 0.0, seed=1), np.full([300], 20)).all((1, 2)).any()


def test_there_are_no_more_masks_than_asked_for():
    found = masked(SpecAugment(2, 2, 3, 0.05, seed=4), np.full([2000], 20))
    assert found.all(1).sum(1).max() == 4
    assert found.all(2).sum(1).max() == 3


def test_a_share_is_not_rounded_below_a_whole_number_of_frames():
    # 0.29 * 100 is 28.999999999999996 in float64.
    found = masked(SpecAugment(0, 0, 1, 0.29, seed=1), np.full([3000], 100), frames=100, bins=1)
    assert found.sum((1, 2)).max() == 29


def test_each_row_and_each_call_has_masks_of_its_own():
    layer, again = (SpecAugment(seed=5, freq_mask_size=5, time_mask_share=0.5) for _ in range(2))
    x = noise([4, 30, 12])
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert len({row.tobytes() for row in first == 0}) == 4
    assert (first != second).any()
    np.testing.assert_array_equal(again(x, training=True), first)


def test_gradients_pass_where_nothing_is_masked():
    x = tf.constant(noise([2, 20, 6]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = SpecAugment(1, 3, 2, 0.3, seed=1)(x, training=True)
        loss = tf.reduce_sum(outputs)
    np.testing.assert_array_equal(tape.gradient(loss, x), tf.cast(outputs != 0, tf.float32))
    assert (outputs.numpy() == 0).any()


def test_any_shape_is_traced_once_and_halves_stay_halves():
    layer = SpecAugment(1, 3, 2, 0.3, seed=1, dtype="mixed_bfloat16")
    call = tf.function(
        lambda x, n: layer(x, n, training=True),
        input_signature=[tf.TensorSpec([None, None, 6]), tf.TensorSpec([None], tf.int32)],
    )
    assert call(noise([2, 20, 6]), np.array([20, 5], "int32")).dtype == tf.bfloat16
    assert call(noise([0, 20, 6]), np.zeros([0], "int32")).shape == (0, 20, 6)
    assert call(noise([2, 0, 6]), np.zeros([2], "int32")).shape == (2, 0, 6)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"`num_time_masks` must be an integer of at least 0. Received: num_time"):
        SpecAugment(num_time_masks=-1)
    with pytest.raises(
        ValueError, match=r"`time_mask_share` must be a number from 0 to 1. Received: time_mask_share=2"
    ):
        SpecAugment(time_mask_share=2)
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[B,T,M\]. Received: inputs.shape=\(3, 4\)"):
        SpecAugment()(noise([3, 4]))
    with pytest.raises(ValueError, match=r"`inputs` must be floats around 0. Received: inputs.dtype=.*int32"):
        SpecAugment()(np.zeros([1, 3, 4], "int32"))

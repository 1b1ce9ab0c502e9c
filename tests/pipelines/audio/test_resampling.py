import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from ikelos.pipelines.audio.resampling import resample


def resampled(samples, from_rate, to_rate):
    return resample(tf.constant(samples, tf.float32), from_rate, to_rate).numpy()


def sine(hertz, rate, seconds=0.2):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate + 0.5)


@pytest.mark.parametrize(
    ("from_rate", "to_rate"),
    [(4000, 8000), (8000, 16000), (11025, 8000), (12347, 8000), (44100, 8000), (44100, 16000), (192000, 16000)],
)
def test_keeps_sines_that_both_rates_can_hold_and_removes_others(from_rate, to_rate):
    half = min(from_rate, to_rate) / 2
    inner = slice(to_rate // 25, -to_rate // 25)  # without the borders
    for hertz in (0.1 * half, 0.6 * half, 0.81 * half):
        found = resampled(sine(hertz, from_rate), from_rate, to_rate)
        assert len(found) == -(-round(0.2 * from_rate) * to_rate // from_rate)
        expected = sine(hertz, to_rate, 1)[: len(found)]
        np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=1e-3)
    if from_rate > to_rate:
        assert np.abs(resampled(sine(1.01 * half, from_rate), from_rate, to_rate)[inner]).max() < 6e-4


@pytest.mark.parametrize(("from_rate", "to_rate"), [(8000, 16000), (44100, 8000), (22050, 16000)])
def test_agrees_with_scipy(from_rate, to_rate):
    # Noise without frequencies near half of the lower rate, where two filters differ.
    rng = np.random.default_rng(0)
    low = scipy.signal.firwin(401, 0.35 * min(from_rate, to_rate), fs=from_rate)
    noise = np.convolve(rng.normal(size=from_rate // 4), low, "same")
    found = resampled(noise, from_rate, to_rate)
    filtered = scipy.signal.resample_poly(noise, to_rate, from_rate, window=("kaiser", 12.0), padtype="constant")
    assert found.shape == filtered.shape
    inner = slice(to_rate // 50, -to_rate // 50)
    np.testing.assert_allclose(found[inner], filtered[inner], rtol=0, atol=2e-2 * noise.std())


def test_a_constant_stays_constant_and_the_same_rate_changes_nothing():
    found = resampled(np.full([2000], 0.7), 11025, 8000)
    np.testing.assert_allclose(found[100:-100], 0.7, rtol=1e-6)
    noise = np.random.default_rng(0).normal(size=100).astype("float32")
    np.testing.assert_array_equal(resampled(noise, 8000, 8000), noise)


def test_starts_at_the_same_time_and_is_linear():
    impulse = np.zeros([400])
    impulse[200] = 1
    found = resampled(impulse, 8000, 16000)
    assert found.argmax() == 400
    np.testing.assert_allclose(found[400:440], found[400:360:-1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(resampled(2 * impulse, 8000, 16000), 2 * found, rtol=1e-6)


@pytest.mark.parametrize(("length", "expected"), [(0, 0), (1, 1), (2, 1), (3, 2)])
def test_lengths_are_rounded_up(length, expected):
    assert resampled(np.ones([length]), 16000, 8000).shape == (expected,)
    assert resampled(np.ones([length]), 8000, 16000).shape == (2 * length,)


def test_blocks_make_no_difference():
    noise = np.random.default_rng(0).normal(size=120_000)
    # The first block ends after 4,194,304 products.
    found = resampled(noise, 16000, 8000)
    late = resampled(noise[60_000:], 16000, 8000)
    np.testing.assert_allclose(found[31_000:], late[1_000:], rtol=0, atol=1e-6)

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from ikelos.layers.distributions.discretized_logistic import DiscretizedLogistic

tfd = tfp.distributions


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def probabilities(loc, scale, low, high, num_levels):
    """Returns the levels, `[num_levels]`, and the probability of each in float64, `[...,num_levels]`."""
    levels = np.linspace(low, high, num_levels)
    edges = (levels[1:] + levels[:-1]) / 2
    below = sigmoid((edges - loc[..., None]) / scale[..., None])
    zero, one = np.zeros([*loc.shape, 1]), np.ones([*loc.shape, 1])
    return levels, np.diff(np.concatenate([zero, below, one], axis=-1), axis=-1)


CASES = {
    "image": (0.0, 1.0, 256),
    "bits": (0.0, 1.0, 2),
    "whole numbers": (0, 255, 256),
    "around 0": (-1.0, 1.0, 17),
}


def generated(low, high, size=40, least=0.02):
    rng = np.random.default_rng(0)
    loc = rng.uniform(low - 0.2 * (high - low), high + 0.2 * (high - low), size).astype("float32")
    scale = (rng.uniform(least, 1, size) * (high - low) / 2).astype("float32")
    return loc, scale


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_density_and_moments(case):
    loc, scale = generated(*case[:2])
    levels, expected = probabilities(loc.astype("float64"), scale.astype("float64"), *case)
    distribution = DiscretizedLogistic(loc, scale, *case)
    actual = tf.exp(distribution.log_prob(levels[:, None].astype("float32"))).numpy().T
    # The exponents, of up to 120 (1.2 ranges by 0.01), are off by a few last places: so is the logarithm.
    np.testing.assert_allclose(actual, expected, rtol=16 * 120 * 2.0**-23, atol=1e-12)
    np.testing.assert_allclose(actual.sum(-1), 1, atol=1e-4)
    mean = expected @ levels
    variance = expected @ levels**2 - mean**2
    span = case[1] - case[0]
    np.testing.assert_allclose(distribution.mean(), mean, rtol=0, atol=1e-5 * span)
    np.testing.assert_allclose(distribution.variance(), variance, rtol=0, atol=1e-4 * span**2)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_samples(case):
    loc, scale = generated(*case[:2], size=6)
    distribution = DiscretizedLogistic(loc, scale, *case)
    samples = distribution.sample(20_000, seed=(1, 2)).numpy()
    levels, expected = probabilities(loc.astype("float64"), scale.astype("float64"), *case)
    nearest = np.rint((samples - case[0]) / (case[1] - case[0]) * (case[2] - 1)).astype(int)
    np.testing.assert_allclose(samples, levels[nearest], rtol=0, atol=1e-6 * (case[1] - case[0]))
    shares = np.stack([np.bincount(x, minlength=case[2]) for x in nearest.T]) / 20_000
    # 6 standard deviations of a share, the least for a probability of 0.
    assert (np.abs(shares - expected) < 6 * np.sqrt(np.maximum(expected, 1e-3) / 20_000)).all()


def test_keeps_the_precision_of_small_probabilities():
    """A wide distribution: each of 256 levels has a probability near 1e-5, a difference of cdfs near 0.5."""
    levels = np.arange(1, 255, dtype="float32")
    loc, scale = np.float32(127.0), np.float32(25_000.0)
    _, expected = probabilities(np.float64([loc]), np.float64([scale]), 0, 255, 256)
    actual = DiscretizedLogistic(loc, scale, 0, 255, 256).log_prob(levels)
    np.testing.assert_allclose(actual, np.log(expected[0, 1:-1]), rtol=0, atol=2e-6)
    shifted = tfd.TransformedDistribution(tfd.Logistic(loc, scale), tfp.bijectors.Shift(-0.5))
    quantized = tfd.QuantizedDistribution(shifted, low=0.0, high=255.0).log_prob(levels)
    # The reason why this is not TensorFlow Probability's.
    assert np.abs(quantized - np.log(expected[0, 1:-1])).max() > 1e-3


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 1.0, 1e5])
def test_gradients_are_finite(scale):
    loc = tf.constant([[-50.0], [-1.0], [0.0], [0.3], [1.0], [50.0]])
    scale = tf.constant(scale)
    values = np.linspace(0, 1, 32, dtype="float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([loc, scale])
        distribution = DiscretizedLogistic(loc, scale, 0.0, 1.0, 32)
        results = [distribution.log_prob(values), distribution.mean(), distribution.variance()]
    for result in results:
        assert np.isfinite(result).all()
        for gradient in tape.gradient(result, [loc, scale]):
            assert np.isfinite(gradient).all()

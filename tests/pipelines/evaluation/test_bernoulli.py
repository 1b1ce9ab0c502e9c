import itertools

import numpy as np
import pytest

from ikelos.pipelines.evaluation import bernoulli


def drawn(number, seed=0):
    """Draws images of 12 pixels from a mixture of two very different components."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.9] * 6 + [0.1] * 6, [0.2] * 6 + [0.8] * 6])
    weights = np.array([0.3, 0.7])
    images = (rng.random([number, 12]) < means[rng.choice(2, number, p=weights)]).astype(np.uint8)
    return images, bernoulli.BernoulliMixture(weights, means)


def test_probabilities_of_all_images_add_up_to_one():
    model = bernoulli.BernoulliMixture(np.array([0.25, 0.75]), np.array([[0.1, 0.5, 0.9], [0.3, 0.7, 0.2]]))
    everything = np.array(list(itertools.product([0, 1], repeat=3)))
    probabilities = np.exp(model.log_probabilities(everything))
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[1] == pytest.approx(0.25 * 0.9 * 0.5 * 0.9 + 0.75 * 0.7 * 0.3 * 0.2)


def test_one_component_has_the_mean_of_the_images():
    images, _ = drawn(1000)
    model = bernoulli.fit(images.reshape(-1, 3, 4, 1), 1)
    np.testing.assert_allclose(model.means[0], images.mean(0), atol=1e-10)
    np.testing.assert_array_equal(model.weights, [1])
    costs = -(np.log(images.mean(0)) * images + np.log(1 - images.mean(0)) * (1 - images)).sum(1)
    np.testing.assert_allclose(-model.log_probabilities(images), costs, rtol=1e-6)


def test_a_pixel_that_was_never_white_may_be_so_in_one_image_of_all():
    images = np.zeros([8, 3], np.uint8)
    images[:, 1] = 1
    # As with two more images, one of them white: Laplace's rule of succession.
    np.testing.assert_allclose(bernoulli.fit(images, 1).means[0], [1 / 10, 9 / 10, 1 / 10])


def test_two_components_are_found():
    images, truth = drawn(4000)
    model = bernoulli.fit(images, 2)
    order = np.argsort(model.weights)
    np.testing.assert_allclose(model.weights[order], truth.weights, atol=0.03)
    np.testing.assert_allclose(model.means[order], truth.means, atol=0.05)
    held_out, _ = drawn(4000, seed=1)
    ours, best = model.log_probabilities(held_out).mean(), truth.log_probabilities(held_out).mean()
    assert best - 0.02 < ours < best + 0.02


def test_a_pixel_that_was_never_white_may_be():
    images, _ = drawn(50)
    images[:, 0] = 0
    model = bernoulli.fit(images, 5)
    images[:, 0] = 1
    assert np.isfinite(model.log_probabilities(images)).all()


@pytest.mark.parametrize("components", [0, 11])
def test_errors_name_the_argument(components):
    with pytest.raises(ValueError, match=f"between 1 and the number of images, 10. Received: components={components}"):
        bernoulli.fit(np.zeros([10, 4]), components)


def test_shades_that_are_no_probabilities_are_refused():
    shades = np.array([[0, 255], [3, 4]], np.uint8)
    with pytest.raises(ValueError, match=r"`images` must be between 0 and 1. Received: values from 0 to 255"):
        bernoulli.fit(shades, 1)
    with pytest.raises(ValueError, match="values from -255 to 0"):
        bernoulli.fit(np.zeros([4, 2]), 1).log_probabilities(-shades.astype(int)[:1])


def test_samples_have_the_mixtures_means():
    mixture = bernoulli.BernoulliMixture(np.array([0.25, 0.75]), np.array([[0.9, 0.1, 0.5], [0.1, 0.1, 0.9]]))
    samples = mixture.sample(4000, seed=0)
    assert (samples.dtype, samples.shape) == (bool, (4000, 3))
    np.testing.assert_allclose(samples.mean(0), [0.3, 0.1, 0.8], atol=0.03)
    # Pixels of one component are correlated: the covariance of the first and the last.
    assert np.cov(samples[:, 0], samples[:, 2])[0, 1] == pytest.approx(0.25 * 0.75 * 0.8 * -0.4, abs=0.02)
    np.testing.assert_array_equal(mixture.sample(4000, seed=0), samples)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, 50, 50), "Independent pixels"),
        ((3, 50, 50), "Mixture of 3 Bernoulli distributions"),
        ((3, 2000, 50000), "Mixture of 3 Bernoulli distributions, first 2,000 images"),
    ],
)
def test_a_baseline_of_some_images_says_so(arguments, expected):
    assert bernoulli.name(*arguments) == expected

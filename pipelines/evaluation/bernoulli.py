"""Baselines for images of black and white pixels: independent pixels, and mixtures of Bernoulli distributions."""

import dataclasses

import numpy as np

from ikelos.pipelines.console import counted
from ikelos.pipelines.errors import UserError

# A pixel that was never white in training may be white in a test image. So each component sees one more image, the mean
# of all images, and probabilities are kept as far from 0 and 1 as one image in all would make them.
_PSEUDO_COUNT = 1.0
_MOST_ROUNDS = 200
_LEAST_GAIN = 1e-3
"""Smallest gain of a round in nats per training image; with less, the fit ends."""


@dataclasses.dataclass(frozen=True)
class BernoulliMixture:
    """Mixture of distributions of independent pixels.

    Attributes:
        weights: float64 `[components]`, with sum 1.
        means: Probability that each pixel is 1, float64 `[components,D]`.
    """

    weights: np.ndarray
    means: np.ndarray

    def log_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns the log-probabilities in nats, float64 `[N]`, of images `[N,...]` with pixels 0 or 1."""
        return np.logaddexp.reduce(self._joint(_flat(images)), axis=1)

    def sample(self, number: int, seed: int) -> np.ndarray:
        """Returns samples, bool `[number,D]`."""
        generator = np.random.default_rng(seed)
        component = generator.choice(len(self.weights), number, p=self.weights / self.weights.sum())
        return generator.random([number, self.means.shape[1]]) < self.means[component]

    def _joint(self, images):
        ones, zeros = np.log(self.means), np.log1p(-self.means)
        return images @ (ones - zeros).T + zeros.sum(1) + np.log(self.weights)


def check_components(components: int, images: int) -> None:
    """Checks a recipe's `evaluation.mixture_components`, before any training.

    Raises:
        UserError: If there are fewer training images than components.
    """
    if components > images:
        raise UserError(
            f"`evaluation.mixture_components` must be at most the number of training images, {images}. "
            f"Received: evaluation.mixture_components={components}; for so few images, add "
            f"--set evaluation.mixture_components={max(1, images // 10)}"
        )


def name(components: int, fitted: int, available: int) -> str:
    """Returns the name of a baseline that was fitted on `fitted` of the `available` training images."""
    model = "Independent pixels" if components == 1 else f"Mixture of {components} Bernoulli distributions"
    return model + (f", first {fitted:,} images" if fitted < available else "")


def fit(images: np.ndarray, components: int, seed: int = 0) -> BernoulliMixture:
    """Fits a mixture by expectation maximisation (Bishop 2006, section 9.3.3) until the likelihood hardly improves.

    Args:
        images: `[N,...]`, pixels 0 or 1, or the probabilities that they are 1.
        components: Number of components; with 1, the pixels are independent.
        seed: Seed for the choice of the images from which the components are initialised.

    Raises:
        ValueError: If there are fewer images than components, or a value is not between 0 and 1.
    """
    images = _flat(images)
    if not 1 <= components <= len(images):
        raise ValueError(
            f"`components` must be between 1 and the number of images, {len(images)}. Received: components={components}"
        )
    chosen = np.random.default_rng(seed).permutation(len(images))[:components]
    mean = images.mean(0)
    model = BernoulliMixture(np.full(components, 1 / components), 0.25 + 0.25 * (images[chosen] + mean))
    before = -np.inf
    for _ in counted(range(_MOST_ROUNDS), f"fitting {components} components", "rounds at most", _MOST_ROUNDS):
        joint = model._joint(images)
        likelihood = np.logaddexp.reduce(joint, axis=1)
        if likelihood.mean() - before < _LEAST_GAIN:
            break
        before = likelihood.mean()
        share = np.exp(joint - likelihood[:, None])
        counts = share.sum(0)
        means = (share.T @ images + _PSEUDO_COUNT * mean) / (counts + _PSEUDO_COUNT)[:, None]
        floor = _PSEUDO_COUNT / (len(images) + 2 * _PSEUDO_COUNT)
        weights = (counts + _PSEUDO_COUNT) / (len(images) + components * _PSEUDO_COUNT)
        model = BernoulliMixture(weights, np.clip(means, floor, 1 - floor))
    return model


def _flat(images):
    if np.min(images) < 0 or np.max(images) > 1:
        raise ValueError(
            f"`images` must be between 0 and 1. Received: values from {np.min(images)} to {np.max(images)}"
        )
    return np.asarray(images, np.float64).reshape(len(images), -1)

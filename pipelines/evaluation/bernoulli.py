"""Images of black and white pixels without a neural network: independent pixels, and mixtures of these."""

import dataclasses

import numpy as np

from ikelos.pipelines.console import counted
from ikelos.pipelines.errors import UserError

# Pixels that were never white in training may be so in a test image: each component sees one image more, the mean of
# all, and no probability is nearer to 0 or 1 than one image in all makes it.
_PSEUDO_COUNT = 1.0
_MOST_ROUNDS = 200
_LEAST_GAIN = 1e-3
"""Nats per training image that a round must bring."""


@dataclasses.dataclass(frozen=True)
class BernoulliMixture:
    """A mixture of distributions of independent pixels.

    Attributes:
        weights: float64 `[components]`, their sum 1.
        means: float64 `[components,D]`, the probability that a pixel is 1.
    """

    weights: np.ndarray
    means: np.ndarray

    def log_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Nats float64 `[N]` of images `[N,...]` of 0 and 1."""
        return np.logaddexp.reduce(self._joint(_flat(images)), axis=1)

    def sample(self, number: int, seed: int) -> np.ndarray:
        """Pixels of 0 and 1, bool `[number,D]`."""
        generator = np.random.default_rng(seed)
        component = generator.choice(len(self.weights), number, p=self.weights / self.weights.sum())
        return generator.random([number, self.means.shape[1]]) < self.means[component]

    def _joint(self, images):
        ones, zeros = np.log(self.means), np.log1p(-self.means)
        return images @ (ones - zeros).T + zeros.sum(1) + np.log(self.weights)


def check_components(components: int, images: int) -> None:
    """Refuses a recipe's `evaluation.mixture_components`, before any training, if there are fewer training images.

    Raises:
        UserError: If there are.
    """
    if components > images:
        raise UserError(
            f"`evaluation.mixture_components` must be at most the number of training images, {images}. "
            f"Received: evaluation.mixture_components={components}"
        )


def name(components: int, fitted: int, available: int) -> str:
    """What a baseline is called that was fitted on so many of the training images."""
    model = "Independent pixels" if components == 1 else f"Mixture of {components} Bernoulli distributions"
    return model + (f", first {fitted:,} images" if fitted < available else "")


def fit(images: np.ndarray, components: int, seed: int = 0) -> BernoulliMixture:
    """Fits by expectation maximisation (Bishop 2006, section 9.3.3) until it gains no more.

    Args:
        images: `[N,...]`, the probability that each pixel is 1, or 0 and 1.
        components: Number of components; 1 is the distribution of independent pixels.
        seed: Of the images that the components begin as.

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

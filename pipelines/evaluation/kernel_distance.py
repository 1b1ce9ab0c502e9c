"""Kernel distance of two sets of features, KID if they are an image network's (Bińkowski et al. 2018)."""

import dataclasses
import math

import numpy as np

from ikelos.pipelines.evaluation import feature_sets


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A squared distance in the kernel's units; below 0 only by chance.

    Attributes:
        value: The estimate; 0 is expected of two sets from one distribution.
        standard_error: Of the value, by the samples of both sets and by the subsets drawn from them.
    """

    value: float
    standard_error: float


def between(
    features: np.ndarray, reference: np.ndarray, *, num_subsets: int = 100, subset_size: int = 500, seed: int = 0
) -> Estimate:
    """The squared maximum mean discrepancy with the kernel `(x.y / D + 1)^3`, as the mean over random subsets.

    Bińkowski et al. 2018 (https://arxiv.org/abs/1801.01401), section 4; the unbiased estimate of a subset is that of
    Gretton et al. 2012 (JMLR 13), lemma 6. Unlike the Fréchet distance, it is expected to be the same for any number of
    samples.

    The standard error is the delete-d jackknife's (Shao and Wu 1989) for the smaller set, plus what the choice of
    subsets adds. Where the two distributions are the same, it is too large rather than too small.

    Args:
        features: `[N,D]`.
        reference: `[M,D]`.
        num_subsets: At least 2.
        subset_size: Features drawn from each set for a subset, without replacement.
        seed: Of the subsets: the same arguments give the same estimate.

    Raises:
        ValueError: If the sets are not of the same number of features, or a number is out of range: a subset must leave
            out some of the smaller set, as the standard error is told by what they leave out.
    """
    features, reference = feature_sets.checked(features=features, reference=reference)
    smaller = min(len(features), len(reference))
    if not 2 <= subset_size < smaller:
        raise ValueError(
            f"`subset_size` must be from 2 to {smaller - 1}, one less than the smaller set. "
            f"Received: subset_size={subset_size}"
        )
    if num_subsets < 2:
        raise ValueError(f"`num_subsets` must be at least 2. Received: num_subsets={num_subsets}")
    generator = np.random.default_rng(seed)
    values = np.array(
        [
            unbiased(*(generator.choice(x, subset_size, replace=False, shuffle=False) for x in (features, reference)))
            for _ in range(num_subsets)
        ]
    )
    jackknife = subset_size / (smaller - subset_size)
    return Estimate(float(values.mean()), math.sqrt(values.var(ddof=1) * (jackknife + 1 / num_subsets)))


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of float64 `[N,D]` and `[M,D]`: a pair of one feature with itself does not count."""
    n, m = len(x), len(y)
    within_x, within_y = _kernel(x, x), _kernel(y, y)
    return float(
        (within_x.sum() - within_x.trace()) / (n * (n - 1))
        + (within_y.sum() - within_y.trace()) / (m * (m - 1))
        - 2 * _kernel(x, y).mean()
    )


def _kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3

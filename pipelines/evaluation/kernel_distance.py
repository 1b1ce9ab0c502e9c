"""Kernel distance between two sets of features, called KID for those of an image network (Bińkowski et al. 2018)."""

import dataclasses
import math

import numpy as np

from ikelos.pipelines.evaluation import feature_sets


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Estimate of a squared distance in the kernel's units; it is negative only by chance.

    Attributes:
        value: Estimate; its expectation is 0 for two sets from the same distribution.
        standard_error: Standard error of the value, from the samples of both sets and the subsets drawn from them.
    """

    value: float
    standard_error: float


def between(
    features: np.ndarray, reference: np.ndarray, *, num_subsets: int = 100, subset_size: int = 500, seed: int = 0
) -> Estimate:
    """Estimates the squared maximum mean discrepancy with the kernel `(x.y / D + 1)^3` by a mean over random subsets.

    Bińkowski et al. 2018 (https://arxiv.org/abs/1801.01401), section 4, with the unbiased estimate for a subset of
    Gretton et al. 2012 (JMLR 13), lemma 6. The expectation of this estimate does not depend on the number of samples,
    unlike that of the Fréchet distance.

    The standard error is that of the delete-d jackknife (Shao and Wu 1989) for the smaller set, plus the contribution
    of the choice of subsets. If the two distributions are equal, it is too large rather than too small.

    Args:
        features: `[N,D]`.
        reference: `[M,D]`.
        num_subsets: Number of subsets, at least 2.
        subset_size: Number of samples drawn from each set for a subset, without replacement.
        seed: Seed of the subsets; the same arguments give the same estimate.

    Raises:
        ValueError: If the sets differ in D, or a number is out of range. `subset_size` must be smaller than both sets,
            as the jackknife needs samples that are left out.
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
    """Returns the unbiased estimate for float64 `[N,D]` and `[M,D]`, without the pairs of a sample with itself."""
    n, m = len(x), len(y)
    within_x, within_y = _kernel(x, x), _kernel(y, y)
    return float(
        (within_x.sum() - within_x.trace()) / (n * (n - 1))
        + (within_y.sum() - within_y.trace()) / (m * (m - 1))
        - 2 * _kernel(x, y).mean()
    )


def _kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3

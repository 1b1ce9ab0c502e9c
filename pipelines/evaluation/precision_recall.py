"""Precision and recall: how many samples look real, and how much of the real images they cover."""

import dataclasses

import numpy as np

from ikelos.pipelines.evaluation import feature_sets

_AT_ONCE = 250
"""Rows of a matrix of distances that are in memory at once: several times 20 MB with 10,000 columns."""


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall, from 0 to 1.

    Attributes:
        precision: Share of the samples that lie among real features, a measure of quality.
        recall: Share of the real features that lie among samples, a measure of variety.
    """

    precision: float
    recall: float


def between(samples: np.ndarray, real: np.ndarray, neighbours: int = 3) -> PrecisionRecall:
    """Returns precision and recall by nearest neighbours.

    Kynkäänniemi et al. 2019 (https://arxiv.org/abs/1904.06991), equations 1 and 2: a feature lies among a set if it is
    no farther from some member of the set than that member's k-th nearest neighbour in the set. Precision grows with
    the number of real features, recall with the number of samples, and both with k. So use sets of the same size, as
    the paper does, and only compare figures with the same sizes and k.

    Args:
        samples: Features of generated images, `[N,D]`.
        real: Features of real images, `[M,D]`, preferably with M = N.
        neighbours: Number of neighbours, k; 3 in the paper's section 2.

    Raises:
        ValueError: If the sets differ in D, or one is too small for k neighbours.
    """
    samples, real = feature_sets.checked(samples=samples, real=real)
    smaller = min(len(samples), len(real))
    if not 1 <= neighbours < smaller:
        raise ValueError(
            f"`neighbours` must be from 1 to {smaller - 1}, one less than the smaller set. "
            f"Received: neighbours={neighbours}"
        )
    return PrecisionRecall(_share_among(samples, real, neighbours), _share_among(real, samples, neighbours))


def _share_among(features, others, neighbours):
    """Returns the share of the features that lie among the others."""
    # A feature is its own nearest neighbour, so the k-th other one has index k. A view instead of a copy would keep all
    # distances in memory.
    kth = [np.partition(rows, neighbours)[:, neighbours].copy() for rows in _squares(others, others)]
    radii = np.concatenate(kth)
    return float(np.concatenate([(rows <= radii).any(1) for rows in _squares(features, others)]).mean())


def _squares(x, y):
    """Yields the squared distances between `[N,D]` and `[M,D]`, some rows at a time."""
    of_x, of_y = (x**2).sum(1), (y**2).sum(1)
    for start in range(0, len(x), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        sums = of_x[rows, None] + of_y
        squares = sums - 2 * x[rows] @ y.T
        # For equal features only rounding errors remain, at most 2 D ulp of the sums. They must become 0, or copies
        # would not lie among each other when k of them make the radius 0.
        squares[squares <= 2 * x.shape[1] * np.finfo(np.float64).eps * sums] = 0
        yield squares

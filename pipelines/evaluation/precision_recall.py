"""How many samples look real, and how much of what is real they cover (Kynkäänniemi et al. 2019)."""

import dataclasses

import numpy as np

from ikelos.pipelines.evaluation import feature_sets

_AT_ONCE = 250
"""Rows of a matrix of distances in memory together: of 10,000 columns 20 MB, several times."""


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
    """Shares from 0 to 1.

    Attributes:
        precision: Of the samples that lie among real features: quality.
        recall: Of the real features that lie among samples: variety.
    """

    precision: float
    recall: float


def between(samples: np.ndarray, real: np.ndarray, neighbours: int = 3) -> PrecisionRecall:
    """Precision and recall by nearest neighbours.

    Kynkäänniemi et al. 2019 (https://arxiv.org/abs/1904.06991), equations 1 and 2: a feature lies among those of a set
    if it is no farther from one of them than this one's k-th nearest neighbour in the set. Precision grows with the
    number of real features, recall with the number of samples, and both with k: take sets of the same size, as the
    paper does, and compare figures of the same sizes and k only.

    Args:
        samples: Features of generated images, `[N,D]`.
        real: Features of real images, `[M,D]`, preferably with M = N.
        neighbours: k; the paper's section 2 takes 3.

    Raises:
        ValueError: If the sets are not of the same number of features, or have too few for k neighbours.
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
    """How many of the features lie among the others, a share."""
    # A feature is its own nearest: the k-th neighbour is at place k, counted from 0. A view would keep all distances.
    kth = [np.partition(rows, neighbours)[:, neighbours].copy() for rows in _squares(others, others)]
    radii = np.concatenate(kth)
    return float(np.concatenate([(rows <= radii).any(1) for rows in _squares(features, others)]).mean())


def _squares(x, y):
    """Squared distances of `[N,D]` to `[M,D]`, some rows at a time."""
    of_x, of_y = (x**2).sum(1), (y**2).sum(1)
    for start in range(0, len(x), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        sums = of_x[rows, None] + of_y
        squares = sums - 2 * x[rows] @ y.T
        # Of equal features nothing but rounding is left, at most 2 D ulp of the sums. It must be 0, or copies would
        # miss each other where k of them make the radius 0.
        squares[squares <= 2 * x.shape[1] * np.finfo(np.float64).eps * sums] = 0
        yield squares

"""Fréchet distance between two sets of features, called FID for those of an image network (Heusel et al. 2017)."""

import numpy as np


def between(features: np.ndarray, reference: np.ndarray) -> float:
    """Returns the squared Fréchet distance between normal distributions with the means and covariances of two sets.

    Heusel et al. 2017 (https://arxiv.org/abs/1706.08500), equation 6. It is biased upwards, the more so the fewer
    samples there are (Bińkowski et al. 2018, section 4), so only compare figures for sets of the same sizes.

    Args:
        features: `[N,D]`.
        reference: `[M,D]`.

    Raises:
        ValueError: If a set has fewer than 2 samples, or the sets differ in D.
    """
    if np.shape(features)[1:] != np.shape(reference)[1:]:
        raise ValueError(
            "`features` and `reference` must be [N,D] and [M,D]. "
            f"Received: features.shape={np.shape(features)}, reference.shape={np.shape(reference)}"
        )
    return of_normals(*moments(features), *moments(reference))


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the unbiased covariance of features `[N,D]`, float64 `[D]` and `[D,D]`.

    Raises:
        ValueError: If there are fewer than 2 samples.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"`features` must be [N,D] with N of at least 2. Received: shape={features.shape}")
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def of_normals(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """Returns the squared Fréchet distance between normal distributions, from means `[D]` and covariances `[D,D]`.

    The covariances may be singular.
    """
    # The trace of (A B)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2). So only roots of symmetric matrices
    # are needed: nothing is inverted, and there is no imaginary part to discard.
    singular = np.linalg.svd(_root(covariance) @ _root(other_covariance), compute_uv=False)
    squared = np.sum((mean - other_mean) ** 2) + np.trace(covariance) + np.trace(other_covariance) - 2 * singular.sum()
    return max(float(squared), 0.0)  # Rounding may make it negative.


def _root(covariance):
    """Returns the symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T

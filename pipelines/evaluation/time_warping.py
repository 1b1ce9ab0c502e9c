"""The nearest of some recordings by dynamic time warping (DTW; Sakoe & Chiba 1978)."""

from collections.abc import Sequence

import numpy as np

_AT_ONCE = 1 << 25
"""Most pairs of frames whose distances are in memory at once, 8 bytes each."""
_RATIO = 2.0
"""Largest ratio of two durations that are compared."""


def nearest(features: np.ndarray, among: Sequence[np.ndarray]) -> int:
    """Returns the index of the recording in `among` that is nearest to one.

    Recordings that are less than half or more than twice as long are not compared; if all are, the one with the nearest
    duration is taken.

    Args:
        features: Floats `[T,M]`, such as a log-mel spectrogram.
        among: Arrays `[S,M]`, at least one.
    """
    lengths = np.array([len(other) for other in among])
    fitting = np.flatnonzero((lengths <= _RATIO * len(features)) & (len(features) <= _RATIO * lengths) & (lengths > 0))
    if not fitting.size or not len(features):
        return int(np.argmin(np.abs(lengths - len(features))))
    size = max(1, _AT_ONCE // (len(features) * lengths[fitting].max()))
    blocks = [fitting[start : start + size] for start in range(0, len(fitting), size)]
    found = [distances(features, [among[int(index)] for index in block]) for block in blocks]
    return int(fitting[np.argmin(np.concatenate(found))])


def distances(features: np.ndarray, among: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the distance of a recording from each of some others, float64 `[N]`.

    It is the smallest sum of Euclidean distances between two frames along a path from both beginnings to both ends, in
    which each step goes on by one frame in either recording or in both, divided by the number of frames of both.

    Args:
        features: Floats `[T,M]`, T at least 1.
        among: N arrays `[S,M]`, S at least 1.
    """
    lengths = np.array([len(other) for other in among])
    padded = np.zeros([len(among), lengths.max(), features.shape[1]], np.float32)
    for row, other in zip(padded, among, strict=True):
        row[: len(other)] = other
    squares = (features**2).sum(-1)[:, None, None] + (padded**2).sum(-1)
    # [T,N,S], then by diagonals, along which all cells can be computed at once.
    costs = np.sqrt(np.maximum(squares - 2 * np.einsum("tm,nsm->tns", features, padded, optimize=True), 0))
    time, longest = len(features), padded.shape[1]
    before = last = np.full([time + 1, len(among)], np.inf)
    found, row = np.empty(len(among)), np.arange(time)
    for diagonal in range(time + longest - 1):
        column = diagonal - row
        valid = (column >= 0) & (column < longest)
        best = np.minimum(np.minimum(last[1:], last[:-1]), before[:-1])
        if diagonal == 0:
            best[0] = 0
        current = np.full([time + 1, len(among)], np.inf)
        current[1:][valid] = best[valid] + costs[row[valid], :, column[valid]]
        before, last = last, current
        ends = lengths - 1 == diagonal - (time - 1)
        found[ends] = current[time, ends]
    return found / (time + lengths)

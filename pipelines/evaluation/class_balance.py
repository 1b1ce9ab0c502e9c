"""Compares the frequencies of the classes among samples with those among training images."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the share of each class, float64 `[num_classes]` with sum 1.

    Args:
        labels: Integers `[N]` from 0 to `num_classes - 1`.
        num_classes: Number of classes, at least 1.

    Raises:
        ValueError: If there are no labels, or one is out of range.
    """
    labels = np.asarray(labels)
    if not labels.size or labels.min() < 0 or labels.max() >= num_classes:
        received = f"from {labels.min()} to {labels.max()}" if labels.size else "none"
        raise ValueError(f"`labels` must be from 0 to {num_classes - 1}. Received: {received}")
    return np.bincount(labels, minlength=num_classes) / labels.size


def compared(predictions: np.ndarray, training: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Compares the classes of samples with those of training images.

    Args:
        predictions: Class of each sample by a classifier, int64 `[N]`.
        training: Shares of the classes among the training images, from `shares`.
        classes: Names of the classes.

    Returns:
        `{"class_imbalance": ..., "classes": {class: {"share": ..., "training_share": ...}}}`, where `class_imbalance`
        is the total variation distance of the two distributions: 0 if they are equal, 1 if they have no class in
        common.

    Raises:
        ValueError: If there are no predictions, or one is out of range.
    """
    found = shares(predictions, len(classes))
    return {
        "class_imbalance": float(np.abs(found - training).sum() / 2),
        "classes": {
            name: {"share": float(ours), "training_share": float(theirs)}
            for name, ours, theirs in zip(classes, found, training, strict=True)
        },
    }

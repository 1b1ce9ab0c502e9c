"""Compares generated images with held-out ones: all metrics, in the features of one network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ikelos.pipelines.data import fingerprint
from ikelos.pipelines.data.store import Splits, Store
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import (
    class_balance,
    feature_network,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from ikelos.pipelines.image.config import Shape
from ikelos.pipelines.metric import Metric

METRICS = (
    Metric("kid", "KID x 1000", ".2f"),
    Metric("fid", "FID", ".2f"),
    Metric("precision", "precision", ".1%", better="more"),
    Metric("recall", "recall", ".1%", better="more"),
)
"""Distances between the distributions; the share of samples that look real, and of real images that are covered."""
_SUBSET = 500
LEAST = 8
"""Smallest number of images for a comparison."""
_ENOUGH = 100
"""Number of images from which on figures say something about a model: a share of 100 images has a standard error of up
to 5 percentage points, and a covariance of 64 features, as in the FID, needs more than 64 images to have full rank."""


def check_number(splits: Splits) -> None:
    """Checks, before any training, that the training and test splits have enough images.

    Raises:
        UserError: If one has fewer than `LEAST`.
    """
    for name, number in (("train", len(splits["train"])), ("test", len(splits["test"]))):
        if number < LEAST:
            raise UserError(f"`{name}` must have at least {LEAST} images to compare with. Received: {number}")


def caution(number: int) -> str:
    """Returns a warning about figures of a number of held-out images; empty if there are enough."""
    if number >= _ENOUGH:
        return ""
    return (
        f"{number} held-out images are too few to judge a model by: with fewer than {_ENOUGH}, chance alone can move "
        "precision and recall by 10 percentage points and more, and FID and KID say little."
    )


class Comparison:
    """Comparison of images with held-out images of a data set.

    Attributes:
        number: Number of held-out images, and of images to compare with them: n.
        network: Network that computes the features.
    """

    def __init__(self, splits: Splits, class_names: Sequence[str], shape: Shape, most: int, cache: Path):
        """Computes the features of test images; trains the network unless it is in the cache.

        Args:
            splits: Stores with the column `image`, and with classes `label`.
            class_names: Names of the classes in the order of the labels; empty without classes.
            shape: Shape (H, W, C) of the images.
            most: Largest number of test images; they are drawn at random, the same each time.
            cache: Folder of the feature networks.

        Raises:
            Terminated, UserError, OSError: As `feature_network.load_or_train`.
        """
        train, validation, test = (splits[name] for name in ("train", "validation", "test"))
        self._class_names = class_names
        labels = train.labels
        self._shares = None if labels is None else class_balance.shares(labels, len(class_names))
        self.number = min(most, len(test), len(train))
        self._train = train
        self.network = feature_network.load_or_train(
            train,
            validation,
            class_names,
            shape,
            fingerprint.sha256(split.sha256().encode() for split in (train, validation)),
            cache,
        )
        self._reference = self.network.features(_drawn(test, self.number))

    def figures(self, images: np.ndarray) -> dict[str, Any]:
        """Returns the figures of images, uint8 `[n,H,W,C]`.

        Returns:
            All `METRICS`; `images`, n; `kid_error`, the standard error of `kid`; and with classes, the result of
            `class_balance.compared`.
        """
        features = self.network.features(images)
        kid = kernel_distance.between(features, self._reference, subset_size=min(_SUBSET, self.number // 2))
        both = precision_recall.between(features, self._reference)
        balance = {}
        if self._shares is not None:
            balance = class_balance.compared(self.network.predictions(images), self._shares, self._class_names)
        return {
            "kid": 1000 * kid.value,
            "kid_error": 1000 * kid.standard_error,
            "fid": frechet_distance.between(features, self._reference),
            "precision": both.precision,
            "recall": both.recall,
            "images": self.number,
            **balance,
        }

    def of_training_images(self) -> dict[str, Any]:
        """Returns the figures of training images, which a perfect model would have, up to chance."""
        return self.figures(_drawn(self._train, self.number)) | {"minutes": None}

    def of_samples(self, sample: Callable[[int], np.ndarray], minutes: float | None) -> dict[str, Any]:
        """Returns the figures of samples; `sample` maps their number n to uint8 `[n,H,W,C]`."""
        return self.figures(sample(self.number)) | {"minutes": minutes}


def _drawn(store: Store, number: int) -> np.ndarray:
    """Returns random images of a store, as the first ones of a folder may all be of one class."""
    places = np.random.default_rng(0).permutation(len(store))[:number]
    return store.array("image")[np.sort(places)]

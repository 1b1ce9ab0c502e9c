"""What is learned from the training data before the model."""

from pathlib import Path

import tensorflow as tf


class Preprocessing(tf.Module):
    """Vocabulary, normaliser, names of classes: what stands between what a user has and what a model takes.

    A module, so that an export finds its tables. It holds no data: a trained model is exported, and serves, where the
    training data has been deleted. This one has learned nothing; what learns is a subclass with `save`, which its
    task's `load` reads again.
    """

    def save(self, folder: Path) -> None:
        """Writes what was learned into an existing folder."""

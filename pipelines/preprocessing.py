"""The base class of preprocessing, which is fitted to the training data before the model is trained."""

from pathlib import Path

import tensorflow as tf


class Preprocessing(tf.Module):
    """The mapping from raw inputs to a model's inputs: a vocabulary, a normaliser, the names of classes.

    It is a `tf.Module`, so that an export finds its tables. It holds no data, so that a trained model can be exported
    after the training data has been deleted. This base class has no state. A subclass with state overrides `save`, and
    its task's `Preparation.load` reads the files that `save` wrote.
    """

    def save(self, folder: Path) -> None:
        """Writes the fitted state into an existing folder."""

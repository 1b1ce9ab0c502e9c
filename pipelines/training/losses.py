"""Losses that Keras lacks."""

import keras

from ikelos.layers.losses import cross_entropy


class Crossentropy(keras.losses.Loss):
    """`ikelos.layers.losses.cross_entropy` as a loss of Keras, the mean over the weights.

    Keras has label smoothing only for one-hot classes, and its loss of integer classes runs a slower op.

    Args:
        label_smoothing: Share of each target's probability that is spread evenly over all classes.
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__(name="crossentropy", reduction="mean_with_sample_weight")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Returns the cross-entropy `[...]` of classes int `[...]` under logits `[...,V]`."""
        return cross_entropy(y_true, y_pred, self.label_smoothing)

"""Losses that Keras lacks."""

import keras
import tensorflow as tf


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer classes with label smoothing (Szegedy et al. 2016, section 7), which Keras has only for
    one-hot classes: a share of each target's probability is spread evenly over all classes.

    Args:
        smoothing: The share.
    """

    def __init__(self, smoothing: float):
        super().__init__(name="smoothed_crossentropy", reduction="mean_with_sample_weight")
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        """Returns the cross-entropy `[...]` of classes int `[...]` under logits `[...,V]`."""
        own = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y_true, tf.int32), y_pred)
        if not self.smoothing:
            return own
        # The mean of -log p over the classes, without the log-probabilities themselves.
        every = tf.reduce_logsumexp(y_pred, axis=-1) - tf.reduce_mean(y_pred, axis=-1)
        return (1 - self.smoothing) * own + self.smoothing * every

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
        if not self.smoothing:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y_true, tf.int32), y_pred)
        classes = tf.shape(y_pred)[-1]
        spread = self.smoothing / tf.cast(classes, tf.float32)
        targets = tf.one_hot(tf.cast(y_true, tf.int32), classes, 1 - self.smoothing + spread, spread)
        return tf.nn.softmax_cross_entropy_with_logits(targets, y_pred)

"""`ActiveUnits`: how many latent values a model uses."""

import keras
import tensorflow as tf

THRESHOLD = 0.01
"""Burda et al. 2016, section 5.2."""


@keras.saving.register_keras_serializable(package="ikelos")
class ActiveUnits(keras.metrics.Metric):
    """Counts the latent values whose posterior mean varies with the input (Burda et al. 2016, section 5.2).

    A unit is active if the variance of its posterior's mean over the data is above 0.01.

    Args:
        event_shape: Shape of an example's latent values.
        name: Name of the metric.
        dtype: Dtype of the result.

    Example:

    >>> metric = ActiveUnits((2,))
    >>> metric.update_state([[0.0, 3.0], [1.0, 3.0]])
    >>> float(metric.result())
    1.0
    """

    def __init__(self, event_shape, name="active_units", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.event_shape = tuple(event_shape)
        # Plain sums, so that those of the replicas of a `tf.distribute` strategy can be added. In float32 they would
        # lose a small variance far from 0.
        self.count = self.add_weight(name="count", dtype="float64", initializer="zeros")
        self.sums = self.add_weight(name="sums", dtype="float64", shape=self.event_shape, initializer="zeros")
        self.squares = self.add_weight(name="squares", dtype="float64", shape=self.event_shape, initializer="zeros")

    def update_state(self, means, sample_weight=None):
        """Takes posterior means `[B,*event_shape]`; an example with weight 0 does not count."""
        means = tf.cast(means, tf.float64)
        weights = tf.ones(tf.shape(means)[:1], tf.float64) if sample_weight is None else sample_weight
        weights = tf.reshape(tf.cast(weights, tf.float64), [-1] + [1] * len(self.event_shape))
        self.count.assign_add(tf.reduce_sum(weights))
        self.sums.assign_add(tf.reduce_sum(weights * means, axis=0))
        self.squares.assign_add(tf.reduce_sum(weights * tf.square(means), axis=0))

    def variance(self):
        """The variance of each unit's mean `[*event_shape]`, float64; 0 before any example."""
        mean, square = (tf.math.divide_no_nan(total.value, self.count.value) for total in (self.sums, self.squares))
        return square - tf.square(mean)

    def result(self):
        """The number of active units."""
        return tf.reduce_sum(tf.cast(self.variance() > THRESHOLD, self.dtype))

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

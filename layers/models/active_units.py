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
        dtype: Dtype of the sums.

    Example:

    >>> metric = ActiveUnits((2,))
    >>> metric.update_state([[0.0, 3.0], [1.0, 3.0]])
    >>> float(metric.result())
    1.0
    """

    def __init__(self, event_shape, name="active_units", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.event_shape = tuple(event_shape)
        self.count = self.add_weight(name="count", initializer="zeros")
        self.mean = self.add_weight(name="mean", shape=self.event_shape, initializer="zeros")
        self.squares = self.add_weight(name="squares", shape=self.event_shape, initializer="zeros")

    def update_state(self, means, sample_weight=None):
        """Takes posterior means `[B,*event_shape]`; an example with weight 0 does not count."""
        means = tf.cast(means, self.dtype)
        weights = (
            tf.ones(tf.shape(means)[:1], self.dtype) if sample_weight is None else tf.cast(sample_weight, self.dtype)
        )
        weights = tf.reshape(weights, [-1] + [1] * len(self.event_shape))
        added = tf.reduce_sum(weights)
        count = self.count + added
        # Sums of squares around the mean (Chan et al. 1983): those around 0 would lose a small variance far from it.
        batch_mean = tf.math.divide_no_nan(tf.reduce_sum(weights * means, axis=0), added)
        batch_squares = tf.reduce_sum(weights * tf.square(means - batch_mean), axis=0)
        off = batch_mean - self.mean
        self.squares.assign_add(batch_squares + tf.square(off) * tf.math.divide_no_nan(self.count * added, count))
        self.mean.assign_add(off * tf.math.divide_no_nan(added, count))
        self.count.assign(count)

    def result(self):
        """The number of active units."""
        variance = tf.math.divide_no_nan(self.squares.value, self.count.value)
        return tf.reduce_sum(tf.cast(variance > THRESHOLD, self.dtype))

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

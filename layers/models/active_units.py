"""`ActiveUnits`: the number of latent values that a model uses."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import shape_tuple
from ikelos.layers.distributions.support import check_shape
from ikelos.layers.models.autoencoder_inputs import weights_by_example

THRESHOLD = 0.01
"""Variance above which a unit is active (Burda et al. 2016, section 5.2)."""


@keras.saving.register_keras_serializable(package="ikelos")
class ActiveUnits(keras.metrics.Metric):
    """Counts the latent values whose posterior mean varies with the input (Burda et al. 2016, section 5.2).

    A latent value, or unit, is active if the variance of its posterior mean over the data is above 0.01.

    Args:
        event_shape: Shape of the latent values of one example; an int is the size of a vector.
        name: Name of the metric.
        dtype: Dtype of the result.

    Call arguments of `update_state`:
        means: Posterior means, `[B,*event_shape]`.
        sample_weight: Weights of the examples, `[B]` or `[B,1]`, or None.

    Result: float scalar; NaN if a mean was NaN or infinite.

    Raises:
        ValueError: If `event_shape` is not made of positive integers; in `update_state`, if the shape of the means or
            the weights is not as described.

    Example:

    >>> metric = ActiveUnits((2,))
    >>> metric.update_state([[0.0, 3.0], [1.0, 3.0]])
    >>> float(metric.result())
    1.0
    """

    def __init__(self, event_shape, name="active_units", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.event_shape = shape_tuple(event_shape)
        # Plain sums, because a `tf.distribute` strategy can add sums over its replicas. In float64, because float32
        # would lose the small variance of means far from 0.
        self.count = self.add_weight(name="count", dtype="float64", initializer="zeros")
        self.sums = self.add_weight(name="sums", dtype="float64", shape=self.event_shape, initializer="zeros")
        self.squares = self.add_weight(name="squares", dtype="float64", shape=self.event_shape, initializer="zeros")

    def update_state(self, means, sample_weight=None):
        """Adds the posterior means of a batch."""
        means = tf.convert_to_tensor(means)
        check_shape("means", means.shape, self.event_shape, tf.TensorShape([None]))
        means = tf.cast(means, tf.float64)
        weights = weights_by_example(sample_weight, means)
        weights = tf.ones(tf.shape(means)[:1], tf.float64) if weights is None else tf.cast(weights, tf.float64)
        weights = tf.reshape(weights, [-1] + [1] * len(self.event_shape))
        self.count.assign_add(tf.reduce_sum(weights))
        self.sums.assign_add(tf.reduce_sum(weights * means, axis=0))
        self.squares.assign_add(tf.reduce_sum(weights * tf.square(means), axis=0))

    def variance(self):
        """Returns the variance of each unit's posterior mean, float64 `[*event_shape]`; 0 before the first example."""
        mean, square = (tf.math.divide_no_nan(total.value, self.count.value) for total in (self.sums, self.squares))
        return square - tf.square(mean)

    def result(self):
        """Returns the number of active units; NaN if a mean was NaN or infinite."""
        variance = self.variance()
        active = tf.reduce_sum(tf.cast(variance > THRESHOLD, self.dtype))
        return tf.where(tf.reduce_all(tf.math.is_finite(variance)), active, float("nan"))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}

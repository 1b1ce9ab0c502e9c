"""`PairwiseDiversity`: how different generated samples are from each other."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ikelos")
class PairwiseDiversity(keras.metrics.Metric):
    """The mean distance of two generated samples of a batch, relative to that of two real ones.

    1: as diverse as the data. 0: all samples of a batch are alike, the generator has collapsed. The distance is
    Euclidean, over all values of a sample; all pairs of a batch count, and all batches since the last reset. It
    compares no generated sample with a real one: noise is diverse too.

    Call arguments of `update_state`:
        real: Real samples, `[B,...]`.
        fake: As many generated ones, `[B,...]`.

    Result: float32 scalar; NaN where no two real samples differ, as in batches of one.

    Example:

    >>> diversity = PairwiseDiversity()
    >>> diversity.update_state(real=keras.ops.array([[0.0], [4.0]]), fake=keras.ops.array([[7.0], [8.0]]))
    >>> float(diversity.result())
    0.25
    """

    def __init__(self, name="diversity", **kwargs):
        super().__init__(name=name, **kwargs)
        self.real = self.add_weight(name="real", initializer="zeros")
        self.fake = self.add_weight(name="fake", initializer="zeros")

    def update_state(self, real, fake):
        """Adds the pairs of a batch."""
        self.real.assign_add(_total_distance(real))
        self.fake.assign_add(_total_distance(fake))

    def result(self):
        """The relative distance."""
        return self.fake / self.real


def _total_distance(samples):
    """The sum of the distances of all pairs of samples `[B,...]`."""
    rows = tf.cast(tf.reshape(samples, [tf.shape(samples)[0], -1]), tf.float32)
    # From the first row: of equal samples nothing is left, not even rounding.
    rows -= rows[:1]
    squares = tf.reduce_sum(rows**2, axis=1)
    distances = squares[:, None] + squares - 2 * tf.matmul(rows, rows, transpose_b=True)
    # The root makes much of what rounding leaves between a row and itself.
    distances = tf.linalg.set_diag(tf.maximum(distances, 0), tf.zeros_like(squares))
    return tf.reduce_sum(tf.sqrt(distances))

"""`PairwiseDiversity`: how much generated samples differ from each other."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ikelos")
class PairwiseDiversity(keras.metrics.Metric):
    """Mean distance between two generated samples of a batch, divided by that between two real samples.

    1 means that the generated samples are as diverse as the data; 0 means that all are alike, because the generator has
    collapsed. The distance is Euclidean, over all values of a sample. The means are over all pairs within
    each batch since the last reset. Generated samples are not compared with real ones, so noise is diverse too.

    Call arguments of `update_state`:
        real: Real samples, `[B,...]`.
        fake: As many generated samples, `[B,...]`.

    Result: float32 scalar; NaN if no two real samples differ, as in batches of one.

    Raises:
        ValueError: In `update_state`, if real and generated samples have different shapes or no batch axis.

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
        real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
        if real.shape.rank == 0:
            raise ValueError(f"`real` must have the shape [B,...]. Received: real.shape={real.shape}")
        if not real.shape.is_compatible_with(fake.shape):
            raise ValueError(f"`fake` must have the shape of `real`, {real.shape}. Received: fake.shape={fake.shape}")
        self.real.assign_add(_total_distance(real))
        self.fake.assign_add(_total_distance(fake))

    def result(self):
        """Returns the quotient of the mean distances, float32 scalar."""
        return tf.where(self.real > 0, self.fake / self.real, float("nan"))


def _total_distance(samples):
    """Returns the sum of the distances between all pairs of samples `[B,...]`."""
    rows = tf.cast(tf.reshape(samples, [tf.shape(samples)[0], -1]), tf.float32)
    # Relative to the first row: equal samples become 0 exactly, without rounding errors.
    rows -= rows[:1]
    squares = tf.reduce_sum(rows**2, axis=1)
    distances = squares[:, None] + squares - 2 * tf.matmul(rows, rows, transpose_b=True)
    # The root would enlarge the rounding error of the distance between a row and itself.
    distances = tf.linalg.set_diag(tf.maximum(distances, 0), tf.zeros_like(squares))
    return tf.reduce_sum(tf.sqrt(distances))

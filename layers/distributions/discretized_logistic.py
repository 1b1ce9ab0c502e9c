"""`DiscretizedLogistic`: the components of `MixtureDiscretizedLogistic`.

Only a function may import this module, because it needs TensorFlow Probability.
"""

import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tensorflow_probability import util


class DiscretizedLogistic(tfd.Distribution):
    """Logistic distribution rounded to `num_levels` values evenly spaced from `low` to `high`.

    The probability of a level is that of all values that round to it. The first level includes all values below it, and
    the last level all values above it.
    """

    def __init__(self, loc, scale, low, high, num_levels, name="DiscretizedLogistic"):
        parameters = dict(locals())
        self._loc, self._scale = tf.convert_to_tensor(loc), tf.convert_to_tensor(scale)
        self._low, self._high, self._num_levels = low, high, num_levels
        self._step = (high - low) / (num_levels - 1)
        super().__init__(
            dtype=self._loc.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"loc": util.ParameterProperties(), "scale": util.ParameterProperties()}

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _sample_n(self, n, seed=None):
        values = tfd.Logistic(self._loc, self._scale).sample(n, seed=seed)
        level = tf.round((values - self._low) / self._step)
        return self._low + self._step * tf.clip_by_value(level, 0.0, self._num_levels - 1.0)

    def _log_prob(self, value):
        # sigmoid(a) - sigmoid(b) is computed as sigmoid(a) sigmoid(-b) (1 - exp(b - a)), in which nothing cancels. The
        # difference of two cdfs, or of their logs as in tfd.QuantizedDistribution, has only 3 correct digits for a
        # probability of 1e-4.
        above = (value + self._step / 2 - self._loc) / self._scale
        below = (value - self._step / 2 - self._loc) / self._scale
        width = self._step / self._scale
        first, last = value < self._low + self._step / 2, value > self._high - self._step / 2
        log_below_upper = tf.where(last, 0.0, tf.math.log_sigmoid(above))
        log_above_lower = tf.where(first, 0.0, tf.math.log_sigmoid(-below))
        between = tf.where(first | last, 0.0, tf.math.log(-tf.math.expm1(-width)))
        return log_below_upper + log_above_lower + between

    def _mean(self):
        return self._low + self._step * self._over_levels(tf.ones_like)

    def _variance(self):
        # E[k^2] is the sum of 2 k - 1 times the probability of level k or more.
        first, second = self._over_levels(tf.ones_like), self._over_levels(lambda k: 2 * k - 1)
        return self._step**2 * (second - first**2)

    def _over_levels(self, weight):
        """Returns the sum over levels k = 1, 2, ... of weight(k) times the probability of level k or more."""

        def add(total, k):
            edge = self._low + self._step * (k - 0.5)
            return total + weight(k) * tf.math.sigmoid((self._loc - edge) / self._scale)

        # One level at a time, because all levels of a batch of images at once would take gigabytes.
        levels = tf.range(1, self._num_levels, dtype=self.dtype)
        return tf.foldl(add, levels, tf.zeros(self.batch_shape_tensor(), self.dtype))

"""`MixtureDiscretizedLogistic`: mixtures of logistic distributions of values on a grid."""

import math

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer, check_positive, event_size, probability

# The least scale of PixelCNN++, in halves of the range of values.
_SMALLEST_SCALE = math.exp(-7)


@keras.saving.register_keras_serializable(package="ikelos")
class MixtureDiscretizedLogistic(DistributionLayer):
    """Independent mixtures of logistic distributions of values on a grid (Salimans et al. 2017, section 2.1).

    For images of 8 bits, scaled to [0, 1]. Each value has a mixture of its own; that channels depend on each other
    within a pixel (section 2.2) is left out. Parameters: the logits of all components, then all locations, then all
    scales before softplus, those of one value side by side; locations and scales count in halves of the range from
    its middle, so that parameters of 0 are a broad start. `log_prob` is the log of a probability.

    Args:
        num_components: Number of components.
        event_shape: Shape of one event.
        low: The least value.
        high: The largest value.
        num_levels: Number of values, evenly spaced, the least and the largest with them.
        convert_to_tensor_fn: What `call` returns: "sample" or "mean", or "params", the parameters in float32.
            Samples have no gradient.
        seed: Seed of the samples.

    Input shape: `[...,params_size]`, or maps `[...,*event_shape[:-1],3*num_components*event_shape[-1]]`.

    Output shape: `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the inputs' shape is another.

    Example:

    >>> layer = MixtureDiscretizedLogistic(5, event_shape=(28, 28, 1))
    >>> images = layer(keras.ops.zeros((2, 28, 28, 15)))
    >>> images.shape
    TensorShape([2, 28, 28, 1])
    """

    def __init__(
        self,
        num_components,
        event_shape=(),
        low=0.0,
        high=1.0,
        num_levels=256,
        convert_to_tensor_fn="sample",
        seed=None,
        **kwargs,
    ):
        check_positive(num_components=num_components)
        if not high > low:
            raise ValueError(f"`high` must be more than `low`. Received: low={low}, high={high}")
        if num_levels < 2:
            raise ValueError(f"`num_levels` must be at least 2. Received: num_levels={num_levels}")
        if convert_to_tensor_fn == "mode":
            raise ValueError("The mode of a mixture is not known. Received: convert_to_tensor_fn='mode'")
        size = MixtureDiscretizedLogistic.params_size(num_components, event_shape)
        super().__init__(event_shape, size, convert_to_tensor_fn, seed, **kwargs)
        self.num_components = num_components
        self.low = low
        self.high = high
        self.num_levels = num_levels

    @staticmethod
    def params_size(num_components, event_shape=()):
        """The number of parameters of one event."""
        return 3 * num_components * event_size(event_shape)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "event_shape": self.event_shape,
            "low": self.low,
            "high": self.high,
            "num_levels": self.num_levels,
        }

    def _distribution(self, params):
        tfd = probability().distributions
        from ikelos.layers.distributions.discretized_logistic import DiscretizedLogistic

        logits, loc, scale = self._split(params, 3, (self.num_components,))
        half = (self.high - self.low) / 2
        components = DiscretizedLogistic(
            self.low + half * (1 + loc),
            half * (tf.math.softplus(scale) + _SMALLEST_SCALE),
            self.low,
            self.high,
            self.num_levels,
        )
        return tfd.Independent(tfd.MixtureSameFamily(tfd.Categorical(logits), components), len(self.event_shape))

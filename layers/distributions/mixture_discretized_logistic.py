"""`MixtureDiscretizedLogistic`: mixtures of logistic distributions of values on a grid."""

import math

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer, event_size, probability
from ikelos.layers.distributions.support import levels
from ikelos.layers.options import check_positive, is_integer, is_number

# The smallest scale of PixelCNN++, in units of half the range.
_SMALLEST_SCALE = math.exp(-7)


@keras.saving.register_keras_serializable(package="ikelos")
class MixtureDiscretizedLogistic(DistributionLayer):
    """Independent mixtures of logistic distributions of values on a grid (Salimans et al. 2017, section 2.1).

    By default, the grid is that of 8-bit images scaled to values from 0 to 1. Each value has a separate mixture; the
    dependence between the channels of a pixel (section 2.2) is left out. `log_prob` is the log of a probability. Values
    off the grid have no probability and are refused, so round images after resizing them.

    The parameters are the logits of all components, then all locations, then all scales before softplus. Within each
    group, the parameters of one value are next to each other. Locations and scales are in units of half the range, and
    locations are relative to the middle of the range, so that parameters of 0 give a broad distribution.

    Args:
        num_components: Number of components.
        event_shape: Shape of one event; an int is the size of a vector.
        low: Lowest value.
        high: Highest value.
        num_levels: Number of values, evenly spaced, including the lowest and the highest.
        convert_to_tensor_fn: Result of `call`: "sample", "mean", or "params", the parameters in float32. Samples have
            no gradient.
        seed: Seed of the samples, an int.

    Input shape: `[...,params_size]`, or maps `[...,*event_shape[:-1],3*num_components*event_shape[-1]]`.

    Output shape: `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument or the shape of the inputs is not as described.

    Example:

    >>> layer = MixtureDiscretizedLogistic(5, event_shape=(28, 28, 1))
    >>> images = layer(keras.ops.zeros((2, 28, 28, 15)))
    >>> images.shape
    TensorShape([2, 28, 28, 1])
    """

    conversions = ("sample", "mean", "params")

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
        if not (is_number(low) and is_number(high) and high > low):
            raise ValueError(f"`low` must be less than `high`. Received: low={low!r}, high={high!r}")
        if not is_integer(num_levels) or num_levels < 2:
            raise ValueError(f"`num_levels` must be an integer of at least 2. Received: num_levels={num_levels!r}")
        size = MixtureDiscretizedLogistic.params_size(num_components, event_shape)
        super().__init__(event_shape, size, convert_to_tensor_fn, seed, **kwargs)
        self.num_components = num_components
        self.low = low
        self.high = high
        self.num_levels = num_levels
        self.support = levels(low, high, num_levels)

    @staticmethod
    def params_size(num_components, event_shape=()):
        """Returns the number of parameters of one event."""
        check_positive(num_components=num_components)
        return 3 * num_components * event_size(event_shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "event_shape": self.event_shape,
            "low": self.low,
            "high": self.high,
            "num_levels": self.num_levels,
        }

    def make_distribution(self, params):
        """Returns the `tfd.Distribution` of logits, locations and scales."""
        tfd = probability().distributions
        from ikelos.layers.distributions.discretized_logistic import DiscretizedLogistic

        logits, loc, scale = self.split(params, 3, (self.num_components,))
        half = (self.high - self.low) / 2
        components = DiscretizedLogistic(
            self.low + half * (1 + loc),
            half * (tf.math.softplus(scale) + _SMALLEST_SCALE),
            self.low,
            self.high,
            self.num_levels,
        )
        return tfd.Independent(tfd.MixtureSameFamily(tfd.Categorical(logits), components), len(self.event_shape))

"""`RealNVPPrior`: a normal distribution, transformed by learned couplings."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import probability, shape_tuple
from ikelos.layers.distributions.prior import Prior
from ikelos.layers.options import check_positive

# A coupling scales by exp(-3) to exp(3), so that no training step can overflow.
_LARGEST_LOG_SCALE = 3.0


@keras.saving.register_keras_serializable(package="ikelos")
class RealNVPPrior(Prior):
    """Standard normal distribution of vectors, transformed by affine couplings (Dinh et al. 2017, section 3).

    Each coupling (`tfp.bijectors.RealNVP`) leaves one half of the vector unchanged. A network computes from it how to
    shift and scale the other half. The halves alternate. A density or a sample costs one pass. The last
    layers of the networks start at 0, so that the prior starts as the standard normal distribution.

    Args:
        event_size: Size of the vectors, Z, at least 2.
        num_couplings: Number of couplings.
        hidden_units: Units of the hidden layers of each network.
        activation: Activation of the hidden layers.

    Input shape: `[...,Z]`. Output shape: `[...]`, the `log_prob` of the inputs in nats.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument is not as described. When called: if the inputs are not real numbers, have another
            shape or, in eager execution, are not finite.
        tf.errors.InvalidArgumentError: When a graph runs, if the inputs are not finite.

    Example:

    >>> prior = RealNVPPrior(4)
    >>> prior(keras.ops.zeros((1, 4))).numpy().round(4)
    array([-3.6758], dtype=float32)
    """

    def __init__(self, event_size, num_couplings=4, hidden_units=(64, 64), activation="relu", **kwargs):
        check_positive(event_size=event_size, num_couplings=num_couplings)
        if event_size < 2:
            raise ValueError(f"`event_size` must be at least 2, to have halves. Received: event_size={event_size}")
        super().__init__(event_size, **kwargs)
        self.num_couplings = num_couplings
        self.hidden_units = shape_tuple(hidden_units, "hidden_units")
        self.activation = keras.activations.get(activation)
        # The size of the unchanged half, negative if it is at the end of the vector.
        self._kept = [event_size // 2 if i % 2 == 0 else -(event_size // 2) for i in range(num_couplings)]
        self.networks = [self._network(event_size // 2, event_size - event_size // 2) for _ in self._kept]

    def _network(self, inputs, outputs):
        options = {"dtype": self.params_dtype}
        hidden = [keras.layers.Dense(units, activation=self.activation, **options) for units in self.hidden_units]
        last = keras.layers.Dense(2 * outputs, kernel_initializer="zeros", **options)
        network = keras.Sequential([*hidden, last])
        network.build((None, inputs))
        return network

    def distribution(self):
        """Returns the `tfd.Distribution`."""
        tfp = probability()
        couplings = [
            tfp.bijectors.RealNVP(num_masked=kept, shift_and_log_scale_fn=_shift_and_log_scale(network))
            for kept, network in zip(self._kept, self.networks, strict=True)
        ]
        normal = tfp.distributions.MultivariateNormalDiag(tf.zeros(self.event_shape, self.params_dtype))
        return tfp.distributions.TransformedDistribution(normal, tfp.bijectors.Chain(couplings))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "event_size": self.event_shape[0],
            "num_couplings": self.num_couplings,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
        }


def _shift_and_log_scale(network):
    def shift_and_log_scale(kept, output_units):
        flat = network(tf.reshape(kept, [-1, kept.shape[-1]]))
        shape = tf.concat([tf.shape(kept)[:-1], [output_units]], axis=0)
        shift, log_scale = (tf.reshape(x, shape) for x in tf.split(flat, 2, axis=-1))
        return shift, _LARGEST_LOG_SCALE * tf.tanh(log_scale / _LARGEST_LOG_SCALE)

    return shift_and_log_scale

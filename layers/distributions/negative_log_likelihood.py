"""`NegativeLogLikelihood`: a loss for the parameters of any distribution."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ikelos")
class NegativeLogLikelihood(keras.losses.Loss):
    """`-log_prob` of the targets, for a model whose outputs are a distribution's parameters.

    Args:
        distribution: The distribution layer, such as `Bernoulli((28, 28))`; only its `distribution(params)` is used.
        reduction: As in all Keras losses; by default the mean over all events.
        name: Name of the loss.
        dtype: Dtype of the computation; by default float32 under half-precision policies too.

    Call arguments:
        y_true: `[...,*event_shape]`.
        y_pred: Parameters `[...,params_size]`.

    Output: nats per event.

    Raises:
        ValueError: If the targets' shape is not that of the events.

    Example:

    >>> from ikelos.layers.distributions import Bernoulli
    >>> loss = NegativeLogLikelihood(Bernoulli(2))
    >>> round(float(loss(keras.ops.array([[0.0, 1.0]]), keras.ops.zeros((1, 2)))), 4)
    1.3863
    """

    def __init__(
        self,
        distribution,
        reduction="sum_over_batch_size",
        name="negative_log_likelihood",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.distribution = distribution

    def call(self, y_true, y_pred):
        """Nats of each event, `[...]`."""
        distribution = self.distribution.distribution(y_pred)
        expected = distribution.batch_shape + distribution.event_shape
        # Broadcasting would give a loss of all pairs.
        if len(y_true.shape) != len(expected) or not expected.is_compatible_with(y_true.shape):
            raise ValueError(f"`y_true` must have the shape {expected}. Received: y_true.shape={y_true.shape}")
        return -distribution.log_prob(tf.cast(y_true, distribution.dtype))

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": keras.saving.serialize_keras_object(self.distribution),
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config):
        """A loss with the config's distribution."""
        return cls(**{**config, "distribution": keras.saving.deserialize_keras_object(config["distribution"])})

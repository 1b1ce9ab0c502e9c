"""`NegativeLogLikelihood`: the loss of a model that outputs the parameters of a distribution."""

import keras

from ikelos.layers.distributions.distribution_layer import DistributionLayer


@keras.saving.register_keras_serializable(package="ikelos")
class NegativeLogLikelihood(keras.losses.Loss):
    """Loss `-log_prob` of the targets under the distribution whose parameters the model outputs.

    Args:
        distribution: The distribution layer, such as `Bernoulli((28, 28))`. The loss uses its `log_prob` only, so the
            layer need not be part of the model.
        reduction: As in all Keras losses; by default the mean over all events.
        name: Name of the loss.
        dtype: Dtype of the computation; by default float32, also under half-precision policies.

    Call arguments:
        y_true: Events `[...,*event_shape]`.
        y_pred: Parameters `[...,params_size]`.

    Output: nats per event.

    Raises:
        ValueError: If `distribution` is no distribution layer. When called: if `y_true` or `y_pred` has another shape
            or is not real numbers; in eager execution also if the distribution cannot take a value of `y_true`.
        tf.errors.InvalidArgumentError: In `fit` and `evaluate`, if the distribution cannot take a value of `y_true`.
            A model compiled by XLA (`jit_compile=True`) cannot raise this; its loss is NaN instead.

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
        if not isinstance(distribution, DistributionLayer):
            raise ValueError(f"`distribution` must be a distribution layer. Received: distribution={distribution!r}")
        self.distribution = distribution

    def call(self, y_true, y_pred):
        """Returns the nats of each event, `[...]`."""
        return -self.distribution.log_prob(y_pred, y_true, name="y_true")

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "distribution": keras.saving.serialize_keras_object(self.distribution),
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config):
        """Returns a loss with the constructor's arguments in `config`."""
        return cls(**{**config, "distribution": keras.saving.deserialize_keras_object(config["distribution"])})

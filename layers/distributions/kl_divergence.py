"""`KLDivergence`: samples from a posterior and adds its divergence from a prior to the loss."""

import math

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer, probability
from ikelos.layers.distributions.prior import Prior
from ikelos.layers.distributions.support import REAL
from ikelos.layers.options import deserialized, is_variable, serialized, weight


@keras.saving.register_keras_serializable(package="ikelos")
class KLDivergence(keras.layers.Layer):
    """Draws the latent sample of a variational autoencoder and adds KL(posterior || prior) to the loss.

    The layer adds (`add_loss`) `beta` times the divergence in nats per event, averaged over all axes before the event
    (Kingma & Welling 2014, equation 3; `beta`: Higgins et al. 2017). If all latent values of an example are one event,
    this term and `NegativeLogLikelihood` add up to the negative evidence lower bound.

    Args:
        posterior: The distribution layer of the parameters, such as `Normal(Z)`, with
            `convert_to_tensor_fn="sample"`.
        prior: The prior, such as `StandardNormalPrior(Z)`.
        beta: Weight of the divergence: a number, a variable or a schedule. A callback can change a `keras.Variable` or
            `tf.Variable` (`beta.assign(0.5)`), and a saved model keeps it. A `keras.optimizers.schedules` object is
            called with the number of training calls of this layer: `PolynomialDecay(0.0, 1000, 1.0)` raises the weight
            to 1 over 1000 steps (Sønderby et al. 2016, section 2.3). Evaluation uses the weight that training has
            reached.
        free_bits: Nats per event that cost nothing (Kingma et al. 2016, appendix C.8), a number or a variable. If the
            divergence is a sum over the values of an event, as between independent normal distributions, each value has
            an equal share.
        use_exact_kl: True for the closed form of TensorFlow Probability, False for an estimate from the sample that the
            layer returns. None takes the closed form if there is one, and the estimate otherwise.

    Input shape: parameters `[...,params_size]`. Output shape: the sample `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        NotImplementedError: In a call, if `use_exact_kl=True` and there is no closed form.
        ValueError: If an argument or, in a call, the inputs are not as described, or the prior does not have all values
            of the posterior.

    Example:

    >>> from ikelos.layers.distributions import Normal, StandardNormalPrior
    >>> layer = KLDivergence(Normal(2), StandardNormalPrior(2))
    >>> layer(keras.ops.zeros((4, Normal.params_size(2)))).shape
    TensorShape([4, 2])
    >>> round(float(layer.losses[0]), 4)
    0.2135
    """

    def __init__(self, posterior, prior, beta=1.0, free_bits=0.0, use_exact_kl=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        _check_pair(posterior, prior)
        if use_exact_kl not in (None, True, False):
            raise ValueError(f"`use_exact_kl` must be True, False or None. Received: use_exact_kl={use_exact_kl!r}")
        self.posterior = posterior
        self.prior = prior
        self.beta = beta if callable(beta) else weight("beta", beta)
        self.free_bits = weight("free_bits", free_bits)
        self.use_exact_kl = use_exact_kl
        self.step = None
        if callable(beta):
            self.step = self.add_weight(
                name="step", dtype="int64", initializer="zeros", trainable=False, aggregation="only_first_replica"
            )
        self.built = True  # posterior and prior are already built

    def call(self, inputs, training=False):
        """Returns a sample of the posterior with the parameters `inputs`, and adds the loss."""
        posterior = self.posterior.distribution(inputs)
        sample = posterior.sample(seed=self.posterior.next_seed())
        divergence = kl_divergence(posterior, self.prior.distribution(), sample, self.use_exact_kl)
        self.add_loss(self.cost(divergence, len(posterior.batch_shape), training=training))
        return tf.cast(sample, self.compute_dtype)

    def cost(self, divergence, batch_axes, sample_weight=None, training=False):
        """Returns the term of the loss, for models that compute their loss themselves.

        Args:
            divergence: Nats, a result of the function `kl_divergence`.
            batch_axes: Number of the first axes of `divergence` that are not part of an event.
            sample_weight: Weights for the mean over the batch axes, which are the axes of the weights; or None.
            training: Whether to count a training step.

        Returns:
            A scalar.
        """
        means = weighted_mean(divergence, sample_weight, batch_axes)
        # Without free bits nothing is cut off, because the estimate from one sample may be below 0 and must stay
        # unbiased.
        if is_variable(self.free_bits) or self.free_bits > 0:
            means = tf.maximum(means, tf.cast(self.free_bits, means.dtype) / math.prod(means.shape))
        cost = tf.cast(self.weight(), means.dtype) * tf.reduce_sum(means)
        if self.step is not None and training:
            self.step.assign_add(1)
        return cost

    def weight(self):
        """Returns the weight `beta` at the current step."""
        return self.beta if self.step is None else self.beta(self.step)

    def compute_output_shape(self, input_shape):
        """Returns `[...,*event_shape]`."""
        return self.posterior.compute_output_shape(input_shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "beta": serialized_beta(self.beta),
            "free_bits": serialized(self.free_bits),
            "use_exact_kl": self.use_exact_kl,
        }

    @classmethod
    def from_config(cls, config):
        """Returns a layer with the constructor's arguments in `config`."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("posterior", "prior")}
        return cls(**config | parts | deserialized_options(config))


def serialized_beta(beta):
    """Returns a weight or schedule as JSON data."""
    return keras.saving.serialize_keras_object(beta) if callable(beta) else serialized(beta)


def deserialized_options(config):
    """Returns the options `beta` and `free_bits` of a config, by name."""
    beta = deserialized(config["beta"])
    return {
        "beta": keras.saving.deserialize_keras_object(beta) if isinstance(beta, dict) else beta,
        "free_bits": deserialized(config["free_bits"]),
    }


def weighted_mean(values, weights=None, axes=1):
    """Returns the mean of `values` over the first `axes` axes, which are the axes of `weights`; 0 if all weights are
    0."""
    over = list(range(axes))
    if weights is None:
        return tf.reduce_mean(values, axis=over)
    weights = tf.cast(weights, values.dtype)
    columns = tf.reshape(weights, tf.concat([tf.shape(weights), tf.ones([values.shape.rank - axes], tf.int32)], axis=0))
    return tf.math.divide_no_nan(tf.reduce_sum(columns * values, axis=over), tf.reduce_sum(weights))


def kl_divergence(posterior, prior, sample, use_exact_kl=None):
    """Returns the divergence of two `tfd` distributions, in nats.

    Args:
        posterior: `tfd.Distribution` with batch shape `[...]`.
        prior: `tfd.Distribution` with batch shape () and the same event shape.
        sample: Sample of the posterior for the estimate, `[...,*event_shape]`, possibly with further axes in front.
        use_exact_kl: As in `KLDivergence`.

    Returns:
        `[...]`, the divergence; or `[...,*event_shape]`, whose sum over the axes of the event is the divergence, if
        there is a closed form and both distributions are a `tfd.Independent`.

    Raises:
        NotImplementedError: If `use_exact_kl=True` and there is no closed form.
        ValueError: If an argument is no `tfd.Distribution` or the shapes of distributions and sample do not match.
    """
    tfd = probability().distributions
    for name, distribution in {"posterior": posterior, "prior": prior}.items():
        if not isinstance(distribution, tfd.Distribution):
            raise ValueError(f"`{name}` must be a tfd.Distribution. Received: {name}={distribution!r}")
    # Other shapes would be broadcast.
    if prior.batch_shape.rank != 0 or not prior.event_shape.is_compatible_with(posterior.event_shape):
        raise ValueError(
            f"`prior` must have the batch shape () and the event shape {posterior.event_shape} of `posterior`. "
            f"Received: prior.batch_shape={prior.batch_shape}, prior.event_shape={prior.event_shape}"
        )
    sample, expected = tf.convert_to_tensor(sample), posterior.batch_shape + posterior.event_shape
    if sample.shape.rank < expected.rank or not sample.shape[sample.shape.rank - expected.rank :].is_compatible_with(
        expected
    ):
        raise ValueError(f"`sample` must have shape {expected}. Received: sample.shape={sample.shape}")
    if use_exact_kl is not False:
        try:
            return _exact(posterior, prior)
        except NotImplementedError:
            if use_exact_kl:
                raise
    return posterior.log_prob(sample) - prior.log_prob(sample)


def _check_pair(posterior, prior):
    if not isinstance(posterior, DistributionLayer):
        raise ValueError(f"`posterior` must be a distribution layer. Received: posterior={posterior!r}")
    if not isinstance(prior, Prior):
        raise ValueError(f"`prior` must be a prior, such as StandardNormalPrior. Received: prior={prior!r}")
    if posterior.convert_to_tensor_fn != "sample":
        raise ValueError(
            '`posterior` must have convert_to_tensor_fn="sample". '
            f"Received: posterior.convert_to_tensor_fn={posterior.convert_to_tensor_fn!r}"
        )
    if posterior.event_shape != prior.event_shape:
        raise ValueError(
            "`posterior` and `prior` must have the same event shape. Received: "
            f"posterior.event_shape={posterior.event_shape}, prior.event_shape={prior.event_shape}"
        )
    # The difference between the log of a probability and the log of a density has no meaning.
    covered = prior.support == posterior.support or (prior.support == REAL and not posterior.support.is_discrete)
    if not covered:
        raise ValueError(
            f"`prior` must have the values of `posterior`, {posterior.support.description}. "
            f"Received: prior with {prior.support.description}"
        )


def _exact(posterior, prior):
    tfd = probability().distributions
    independent = [isinstance(x, tfd.Independent) for x in (posterior, prior)]
    if all(independent):
        return tfd.kl_divergence(posterior.distribution, prior.distribution)
    if any(independent):
        posterior, prior = _multivariate(posterior), _multivariate(prior)
    return tfd.kl_divergence(posterior, prior)


def _multivariate(distribution):
    """Converts independent normal distributions to a multivariate one, because closed forms need one family."""
    tfd = probability().distributions
    if not isinstance(distribution, tfd.Independent) or len(distribution.event_shape) != 1:
        return distribution
    normal = distribution.distribution
    if not isinstance(normal, tfd.Normal):
        return distribution
    return tfd.MultivariateNormalDiag(normal.loc, tf.broadcast_to(normal.scale, tf.shape(normal.loc)))

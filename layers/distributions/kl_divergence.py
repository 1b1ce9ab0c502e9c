"""`KLDivergence`: samples a posterior and adds its distance from a prior to the loss."""

import math

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import probability


@keras.saving.register_keras_serializable(package="ikelos")
class KLDivergence(keras.layers.Layer):
    """Draws the latent sample of a variational autoencoder and adds KL(posterior, prior) to the loss.

    What is added (`add_loss`) is `beta` times the mean over all axes before the event of the divergence, in nats per
    event (Kingma & Welling 2014, equation 3; `beta`: Higgins et al. 2017). With `NegativeLogLikelihood` it makes the
    loss the negative evidence lower bound, if all latent values of an example are one event.

    Args:
        posterior: The distribution layer of the parameters, such as `Normal(Z)`, with
            `convert_to_tensor_fn="sample"`.
        prior: The prior layer, such as `StandardNormalPrior(Z)`.
        beta: Weight, a number or a `keras.optimizers.schedules` object of the training step, in which this layer
            counts its own calls in training: `PolynomialDecay(0.0, 1000, 1.0)` is a warm-up over 1000 steps
            (Sønderby et al. 2016, section 2.3). Evaluation uses the weight that the training has reached.
        free_bits: Nats per event that cost nothing (Kingma et al. 2016, appendix C.8). If the divergence is a sum
            over the values of an event, as between independent normals, each value has its equal share of them.
        use_exact_kl: True for what TensorFlow Probability knows in closed form, False for an estimate from the sample
            that the layer returns; by default exact where it is known.

    Input shape: parameters `[...,params_size]`. Output shape: the sample `[...,*event_shape]`.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        NotImplementedError: If `use_exact_kl=True` and it is not known.
        ValueError: If an argument is another.

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
        if posterior.convert_to_tensor_fn != "sample":
            raise ValueError(
                "`posterior` must give samples. "
                f"Received: posterior.convert_to_tensor_fn={posterior.convert_to_tensor_fn!r}"
            )
        if posterior.event_shape != prior.event_shape:
            raise ValueError(
                "`posterior` and `prior` must have the same events. Received: "
                f"posterior.event_shape={posterior.event_shape}, prior.event_shape={prior.event_shape}"
            )
        if free_bits < 0:
            raise ValueError(f"`free_bits` must not be negative. Received: free_bits={free_bits}")
        self.posterior = posterior
        self.prior = prior
        self.beta = beta
        self.free_bits = free_bits
        self.use_exact_kl = use_exact_kl
        self.step = None
        if callable(beta):
            self.step = self.add_weight(
                name="step", dtype="int64", initializer="zeros", trainable=False, aggregation="only_first_replica"
            )
        self.built = True  # as its parts are

    def call(self, inputs, training=False):
        """A sample of the posterior with the parameters `inputs`."""
        posterior = self.posterior.distribution(inputs)
        sample = posterior.sample(seed=self.posterior.next_seed())
        divergence = kl_divergence(posterior, self.prior.distribution(), sample, self.use_exact_kl)
        self.add_loss(self.cost(divergence, len(posterior.batch_shape), training=training))
        return tf.cast(sample, self.compute_dtype)

    def cost(self, divergence, batch_axes, sample_weight=None, training=False):
        """What is added to the loss, for models with a loss of their own.

        Args:
            divergence: As `kl_divergence` gives it.
            batch_axes: The number of its first axes that are no part of an event.
            sample_weight: For the mean over these axes; their shape.
            training: Whether to count the step.
        """
        means = weighted_mean(divergence, sample_weight, batch_axes)
        # Without free bits nothing is cut off: an estimate of a sample may be below 0, and their mean is unbiased.
        if self.free_bits:
            means = tf.maximum(means, self.free_bits / math.prod(means.shape))
        cost = self.weight() * tf.reduce_sum(means)
        if self.step is not None and training:
            self.step.assign_add(1)
        return cost

    def weight(self):
        """The weight `beta` at the current step."""
        return self.beta if self.step is None else self.beta(self.step)

    def compute_output_shape(self, input_shape):
        """`[...,*event_shape]`."""
        return self.posterior.compute_output_shape(input_shape)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "beta": keras.saving.serialize_keras_object(self.beta),
            "free_bits": self.free_bits,
            "use_exact_kl": self.use_exact_kl,
        }

    @classmethod
    def from_config(cls, config):
        """A layer with the config's posterior, prior and beta."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("posterior", "prior", "beta")}
        return cls(**{**config, **parts})


def weighted_mean(values, weights=None, axes=1):
    """The mean over the first axes, which are those of the weights; 0 where all weights are."""
    over = list(range(axes))
    if weights is None:
        return tf.reduce_mean(values, axis=over)
    weights = tf.cast(weights, values.dtype)
    columns = tf.reshape(weights, tf.concat([tf.shape(weights), tf.ones([values.shape.rank - axes], tf.int32)], axis=0))
    return tf.math.divide_no_nan(tf.reduce_sum(columns * values, axis=over), tf.reduce_sum(weights))


def kl_divergence(posterior, prior, sample, use_exact_kl=None):
    """The divergence of two `tfd` distributions, in nats, by the values of an event where it is a sum over them.

    Args:
        posterior: With batch shape `[...]`.
        prior: Without batch shape.
        sample: Of the posterior, `[...,*event_shape]`, for the estimate.
        use_exact_kl: As in `KLDivergence`.

    Returns:
        `[...,*event_shape]` if both are independent distributions whose divergence is known, `[...]` otherwise.
    """
    if use_exact_kl is not False:
        try:
            return _exact(posterior, prior)
        except NotImplementedError:
            if use_exact_kl:
                raise
    return posterior.log_prob(sample) - prior.log_prob(sample)


def _exact(posterior, prior):
    tfd = probability().distributions
    independent = [isinstance(x, tfd.Independent) for x in (posterior, prior)]
    if all(independent):
        return tfd.kl_divergence(posterior.distribution, prior.distribution)
    if any(independent):
        posterior, prior = _multivariate(posterior), _multivariate(prior)
    return tfd.kl_divergence(posterior, prior)


def _multivariate(distribution):
    """Independent normals as one of the family of multivariate normals, of which alone divergences are known."""
    tfd = probability().distributions
    if not isinstance(distribution, tfd.Independent) or len(distribution.event_shape) != 1:
        return distribution
    normal = distribution.distribution
    if not isinstance(normal, tfd.Normal):
        return distribution
    return tfd.MultivariateNormalDiag(normal.loc, tf.broadcast_to(normal.scale, tf.shape(normal.loc)))

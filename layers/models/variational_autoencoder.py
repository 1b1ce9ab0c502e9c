"""`VariationalAutoencoder`: encoder, posterior, prior, decoder and likelihood as one model with a built-in loss."""

import contextlib
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import DistributionLayer
from ikelos.layers.distributions.kl_divergence import (
    KLDivergence,
    deserialized_options,
    kl_divergence,
    serialized_beta,
    weighted_mean,
)
from ikelos.layers.distributions.support import check_shape, with_plain_errors
from ikelos.layers.distributions.vamp_prior import VampPrior
from ikelos.layers.models.active_units import ActiveUnits
from ikelos.layers.models.autoencoder_inputs import (
    are_paired,
    check_condition,
    check_network,
    joined,
    pair,
    weights_by_example,
)
from ikelos.layers.models.one_device import check_one_device
from ikelos.layers.options import check_draw, check_positive, check_seed, is_variable, serialized
from ikelos.layers.random_state import KeepsRandomState

_PARTS = ("encoder", "posterior", "prior", "decoder", "likelihood")


@keras.saving.register_keras_serializable(package="ikelos")
class VariationalAutoencoder(KeepsRandomState):
    """Latent variable model and its approximate posterior, trained together (Kingma & Welling 2014).

    The loss is built in: call `compile("adam")`, then `fit(images)`. With one sample the loss is the negative evidence
    lower bound (Kingma & Welling 2014, equation 3), with more samples the negative importance-weighted bound (Burda et
    al. 2016, equation 8). It is averaged over the examples, weighted by `sample_weight`. `y` is not used, but must be
    given with `sample_weight`, because Keras drops the weights otherwise. The logs have `loss`; its parts `nll`
    (reconstruction) and `kl`, in nats per example; and `active_units`, the number of latent values that the model uses
    (Burda et al. 2016, section 5.2), which is 0 if the posterior has collapsed.

    With a condition, such as classes, all inputs are pairs `(inputs, condition)`. The encoder is called with the same
    pairs and the decoder with `(latents, condition)`.

    Inputs must be values that the likelihood can take: 0 to 1 for `Bernoulli`. Other values are refused before they are
    encoded, in training and in each method.

    Files of the model or of its weights hold the states of its random layers. So a loaded model continues with the
    noise that the saved one would have drawn.

    Args:
        encoder: Layer or model from inputs `[B,...]` to the parameters of the posterior.
        posterior: The distribution layer of the latent values, such as `Normal(Z)`.
        prior: The prior, such as `StandardNormalPrior(Z)`. A `VampPrior` must have the model's encoder and posterior,
            and shares them in clones and loaded models too.
        decoder: Layer or model from latent values `[B,Z]` to the parameters of the likelihood.
        likelihood: The distribution layer of the inputs, such as `Bernoulli((28, 28, 1))`.
        num_samples: Number of samples of the posterior for each example of a training step, K.
        beta: Weight of the divergence: a number, a variable or a schedule, as in `KLDivergence`.
        free_bits: Nats that cost nothing, as in `KLDivergence`.
        use_exact_kl: As in `KLDivergence`.

    Call arguments:
        inputs: `[B,...]`, or the pair `(inputs, condition)`.

    Output shape: reconstructions `[B,...]`, in float32 also under half-precision policies.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If an argument is not as described or the parts don't fit together. If `num_samples` is more than 1
            together with `beta`, `free_bits` or `use_exact_kl`, which are options of the evidence lower bound. In
            training, evaluation and the model's methods: if the inputs have another shape than the likelihood's events,
            or values that the likelihood cannot take.
        tf.errors.InvalidArgumentError: In `predict` and in a `tf.function` that calls the model, if the inputs have
            values that the likelihood cannot take. In functions compiled by XLA, results are NaN instead.

    Example:

    >>> from ikelos.layers import Bernoulli, Normal, StandardNormalPrior
    >>> model = VariationalAutoencoder(
    ...     keras.Sequential([keras.Input((6,)), keras.layers.Dense(Normal.params_size(2))]),
    ...     Normal(2),
    ...     StandardNormalPrior(2),
    ...     keras.Sequential([keras.Input((2,)), keras.layers.Dense(Bernoulli.params_size(6))]),
    ...     Bernoulli(6),
    ... )
    >>> model.compile("adam")
    >>> images = keras.ops.ones((8, 6))
    >>> sorted(model.fit(images, verbose=0).history)
    ['active_units', 'kl', 'loss', 'nll']
    >>> model.sample(3).shape, model.log_likelihood(images, num_samples=50).shape
    (TensorShape([3, 6]), TensorShape([8]))
    """

    # Attributes that Keras sets.
    jit_compile: bool
    train_function: Callable | None
    test_function: Callable | None

    def __init__(
        self,
        encoder,
        posterior,
        prior,
        decoder,
        likelihood,
        num_samples=1,
        beta=1.0,
        free_bits=0.0,
        use_exact_kl=None,
        **kwargs,
    ):
        check_positive(num_samples=num_samples)
        if num_samples > 1 and (is_variable(beta) or beta != 1 or is_variable(free_bits) or free_bits or use_exact_kl):
            raise ValueError(
                "`num_samples` must be 1 with another beta, free_bits or use_exact_kl than the default. "
                f"Received: num_samples={num_samples}, beta={beta}, free_bits={free_bits}, use_exact_kl={use_exact_kl}"
            )
        if not isinstance(likelihood, DistributionLayer):
            raise ValueError(f"`likelihood` must be a distribution layer. Received: likelihood={likelihood!r}")
        check_network("encoder", encoder, "posterior", posterior)
        check_network("decoder", decoder, "likelihood", likelihood)
        if isinstance(prior, VampPrior) and not (prior.encoder is encoder and prior.posterior is posterior):
            raise ValueError(
                "`prior` must have the encoder and the posterior of the model if it is a VampPrior. "
                f"Received: prior.encoder={prior.encoder.name!r}, encoder={encoder.name!r}"
            )
        super().__init__(**kwargs)
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_samples = num_samples
        self.divergence = KLDivergence(posterior, prior, beta, free_bits, use_exact_kl, name="divergence")
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.nll = keras.metrics.Mean(name="nll")
        self.kl = keras.metrics.Mean(name="kl")
        self.active_units = ActiveUnits(posterior.event_shape, name="active_units")

    @property
    def metrics(self):
        """Metrics in the logs."""
        return [self.loss_tracker, self.nll, self.kl, self.active_units]

    def build(self, input_shape):
        """Builds encoder and decoder if they are not built."""
        latent_shape = (None, *self.posterior.event_shape)
        if not self.encoder.built:
            self.encoder.build(input_shape)
        if not self.decoder.built:
            self.decoder.build((latent_shape, input_shape[1]) if are_paired(input_shape) else latent_shape)

    def compile(self, optimizer="rmsprop", loss=None, metrics=None, weighted_metrics=None, **kwargs):
        """Compiles the model as `keras.Model.compile` does, but without loss and metrics, which are built in.

        Raises:
            ValueError: If a loss or metrics are given, or a `tf.distribute` strategy is in use.
        """
        if loss is not None or metrics or weighted_metrics:
            raise ValueError(
                "`loss`, `metrics` and `weighted_metrics` must be None, because they are built in. "
                f"Received: loss={loss}, metrics={metrics}, weighted_metrics={weighted_metrics}"
            )
        check_one_device(self)
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config):
        """Compiles the model as the saved one was, with `config` from `get_compile_config`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self._parts_are_built():
            self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force=False):
        """Returns Keras's training function, but without `jit_compile`.

        `train_step` compiles the step by XLA after the check of its inputs, because XLA would drop the check.
        """
        if self.train_function is None or force:
            with self._uncompiled():
                super().make_train_function(force)
            self.train_function = with_plain_errors(self.train_function)
        return self.train_function

    def make_test_function(self, force=False):
        """Returns Keras's evaluation function, but without `jit_compile`.

        `test_step` compiles the step by XLA after the check of its inputs, because XLA would drop the check.
        """
        if self.test_function is None or force:
            with self._uncompiled():
                super().make_test_function(force)
            self.test_function = with_plain_errors(self.test_function)
        return self.test_function

    def count_params(self):
        """Returns the number of weights, before the first call too if encoder and decoder are built."""
        if not self._parts_are_built():
            return super().count_params()
        return sum(math.prod(weight.shape) for weight in self.weights)

    def call(self, inputs, training=None):
        """Returns reconstructions `[B,...]`: the means of the likelihood, given the means of the posterior."""
        images, condition = self._checked(inputs)
        return self._decoded(self._encoded(images, condition, training).mean(), condition, training).mean()

    def encode(self, inputs):
        """Returns the means of the posterior, `[B,Z]`; `posterior_of` returns the whole distribution.

        Args:
            inputs: `[B,...]`, or the pair `(inputs, condition)`.

        Raises:
            ValueError, tf.errors.InvalidArgumentError: As `posterior_of`.
        """
        return self.posterior_of(inputs).mean()

    def posterior_of(self, inputs):
        """Returns the posterior of inputs as a `tfd.Distribution` with batch shape `[B]`.

        Args:
            inputs: `[B,...]`, or the pair `(inputs, condition)`.

        Raises:
            ValueError: If `inputs` is a tuple or list without exactly two elements, has another shape than the
                likelihood's events, or, in eager execution, has a value that the likelihood cannot take; or if the
                condition is missing or not used by the encoder.
            tf.errors.InvalidArgumentError: When a graph runs, if the likelihood cannot take a value.
        """
        images, condition = self._checked(inputs)
        return self._encoded(images, condition, training=False)

    def decode(self, latents, condition=None):
        """Returns the means of the likelihood, `[B,...]`.

        Args:
            latents: Latent values, `[B,Z]`.
            condition: `[B,...]`, for a model with a condition.

        Raises:
            ValueError: If `latents` has another shape, or the condition is missing or not used by the decoder.
        """
        latents, condition = pair((latents, condition))
        check_shape("latents", latents.shape, self.posterior.event_shape, tf.TensorShape([None]))
        return self._decoded(latents, condition, training=False).mean()

    def reconstruct(self, inputs):
        """Returns the reconstructions in inference, `[B,...]`.

        Args:
            inputs: `[B,...]`, or the pair `(inputs, condition)`.

        Raises:
            ValueError, tf.errors.InvalidArgumentError: As `posterior_of`, for the decoder too.
        """
        return self(inputs, training=False)

    def sample(self, num, condition=None, seed=None):
        """Returns the means of the likelihood, `[num,...]`, given latent values drawn from the prior.

        Args:
            num: Number of samples.
            condition: `[num,...]`, for a model with a condition.
            seed: int, or int32 `[2]`; by default the next seed of the model.

        Raises:
            ValueError: If `num` is not a positive integer, `seed` is not as described, or the condition is missing or
                not used by the decoder.
        """
        check_draw(num, seed)
        return self.decode(self.prior.distribution().sample(num, seed=self._seed(seed)), condition)

    def anomaly_score(self, inputs, num_samples=16, seed=None):
        """Returns the negative `log_likelihood`, nats `[B]`: the higher it is, the less likely is the input.

        The arguments and errors are those of `log_likelihood`.
        """
        return -self.log_likelihood(inputs, num_samples, seed=seed)

    def log_likelihood(self, inputs, num_samples, samples_at_once=20, seed=None):
        """Returns the importance-weighted lower bound of `log p(inputs)` (Burda et al. 2016, equation 8), nats `[B]`.

        Args:
            inputs: `[B,...]`, or the pair `(inputs, condition)`.
            num_samples: Number of samples of the posterior, K. With growing K, the bound approaches the log-likelihood.
            samples_at_once: Number of samples that are decoded together; memory holds `samples_at_once * B` examples.
            seed: int, or int32 `[2]`; by default the next seed of the model.

        Raises:
            ValueError: If an argument is not as described or, in eager execution, the likelihood cannot take the
                inputs.
            tf.errors.InvalidArgumentError: When a graph runs, if the likelihood cannot take the inputs.
        """
        check_positive(num_samples=num_samples, samples_at_once=samples_at_once)
        check_seed(seed)
        seed = self._seed(seed)
        images, condition = self._checked(inputs)
        posterior, prior = self._encoded(images, condition, training=False), self.prior.distribution()

        def log_sum(number, chunk):
            """Returns the logarithm of the sum of `number` importance weights, `[B]`."""
            latents = posterior.sample(number, seed=tf.random.experimental.stateless_fold_in(seed, chunk))
            nll = self._nll(latents, images, condition, training=False)
            return tf.reduce_logsumexp(prior.log_prob(latents) - posterior.log_prob(latents) - nll, axis=0)

        chunks, rest = divmod(num_samples, samples_at_once)
        # The incomplete chunk comes before the loop, so that the sum in the loop begins with a finite number.
        first = rest or samples_at_once
        _, total = tf.while_loop(
            lambda chunk, _: chunk < chunks + (rest > 0),
            lambda chunk, total: (chunk + 1, _logaddexp(total, log_sum(samples_at_once, chunk))),
            (tf.constant(1), log_sum(first, tf.constant(0))),
            parallel_iterations=1,
        )
        return total - math.log(num_samples)

    def train_step(self, data):
        """Updates the weights on one batch and returns the logs.

        Keras's `train_step` would compute reconstructions that the loss does not use.
        """
        check_one_device(self)
        return self._step(self._update, data)

    def test_step(self, data):
        """Returns the logs of one batch of `evaluate`."""
        return self._step(self._evaluate, data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the loss, with the losses that layers of the parts add, and updates the metrics.

        `x` are the inputs, or the pair `(inputs, condition)`; `y` and `y_pred` are not used.
        """
        images, condition = self._checked(x)
        sample_weight = weights_by_example(sample_weight, images)
        if not self.built:  # Keras builds a model when it is called, but training calls only its parts.
            self.build(joined(*(None if part is None else tuple(part.shape) for part in (images, condition))))
        posterior, prior = self._encoded(images, condition, training), self.prior.distribution()
        latents = posterior.sample(self.num_samples, seed=self.posterior.next_seed())
        nll = self._nll(latents, images, condition, training)
        if self.num_samples == 1:
            (nll,) = tf.unstack(nll)
            divergence = kl_divergence(posterior, prior, latents[0], self.divergence.use_exact_kl)
            loss = weighted_mean(nll, sample_weight) + self.divergence.cost(divergence, 1, sample_weight, training)
            divergence = tf.reduce_sum(divergence, axis=list(range(1, divergence.shape.rank)))
        else:
            divergence = kl_divergence(posterior, prior, latents, use_exact_kl=False)
            bound = tf.reduce_logsumexp(-nll - divergence, axis=0) - math.log(self.num_samples)
            loss = weighted_mean(-bound, sample_weight)
            nll, divergence = tf.reduce_mean(nll, axis=0), tf.reduce_mean(divergence, axis=0)
        loss += sum(self.losses)
        self.loss_tracker.update_state(
            loss, tf.shape(nll)[0] if sample_weight is None else tf.reduce_sum(sample_weight)
        )
        self.nll.update_state(nll, sample_weight)
        self.kl.update_state(divergence, sample_weight)
        self.active_units.update_state(posterior.mean(), sample_weight)
        return loss

    def compute_output_shape(self, input_shape):
        """Returns `[B,*event_shape]`, with the event shape of the likelihood."""
        images_shape = input_shape[0] if are_paired(input_shape) else input_shape
        return (images_shape[0], *self.likelihood.event_shape)

    def compute_output_spec(self, inputs, training=None):
        """Returns the shape and dtype of the reconstructions."""
        shape = self.compute_output_shape(keras.tree.map_structure(lambda x: x.shape, inputs))
        return keras.KerasTensor(shape, dtype=self.likelihood.params_dtype)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS},
            "num_samples": self.num_samples,
            "beta": serialized_beta(self.divergence.beta),
            "free_bits": serialized(self.divergence.free_bits),
            "use_exact_kl": self.divergence.use_exact_kl,
        }

    @classmethod
    def from_config(cls, config):
        """Returns a model with the constructor's arguments in `config`."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in _PARTS}
        if isinstance(parts["prior"], VampPrior):
            # The prior was loaded with copies of encoder and posterior, which the model's replace.
            alone, shared = parts["prior"], {name: parts[name] for name in ("encoder", "posterior")}
            parts["prior"] = type(alone)(**{**alone.get_config(), **shared})
        return cls(**config | parts | deserialized_options(config))

    def _parts_are_built(self):
        return self.encoder.built and self.decoder.built

    @contextlib.contextmanager
    def _uncompiled(self):
        """Context manager in which Keras compiles no functions by XLA."""
        jit_compile = self.jit_compile
        self.jit_compile = False
        try:
            yield
        finally:
            self.jit_compile = jit_compile

    def _step(self, function, data):
        """Calls a function of inputs, targets and sample weights, compiled by XLA if `jit_compile` is set."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.jit_compile and not tf.executing_eagerly():
            # XLA drops the check in `compute_loss`.
            x = joined(*self._checked(x))
            function = tf.function(function, jit_compile=True, autograph=False)
        return function(x, y, sample_weight)

    def _update(self, x, y, sample_weight):
        with tf.GradientTape() as tape:
            loss = self.optimizer.scale_loss(self.compute_loss(x, y, None, sample_weight, training=True))
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights, strict=True)
        )
        return self.get_metrics_result()

    def _evaluate(self, x, y, sample_weight):
        self.compute_loss(x, y, None, sample_weight, training=False)
        return self.get_metrics_result()

    def _checked(self, inputs):
        """Returns the inputs as values of the likelihood, and the condition or None.

        Raises:
            ValueError, tf.errors.InvalidArgumentError: As `posterior_of`, apart from the condition.
        """
        images, condition = pair(inputs)
        return self.likelihood.checked(images, "inputs", batch_shape=tf.TensorShape([None])), condition

    def _encoded(self, images, condition, training):
        check_condition("encoder", self.encoder, condition)
        return self.posterior.distribution(self.encoder(joined(images, condition), training=training))

    def _decoded(self, latents, condition, training):
        check_condition("decoder", self.decoder, condition)
        return self.likelihood.distribution(self.decoder(joined(latents, condition), training=training))

    def _nll(self, latents, images, condition, training):
        """Returns the negative log-likelihood, nats `[K,B]`, of `images` given latent values `[K,B,Z]`."""
        count = latents.shape[0]
        inputs = tf.reshape(latents, (-1, *self.posterior.event_shape))
        if condition is not None:
            condition = tf.tile(condition, [count] + [1] * (condition.shape.rank - 1))
        params = self.decoder(joined(inputs, condition), training=training)
        likelihood = self.likelihood.distribution(tf.reshape(params, (count, -1, *params.shape[1:])))
        return -likelihood.log_prob(images)

    def _seed(self, seed):
        """Returns a seed for a `tfd.Distribution`, int32 `[2]`."""
        if seed is None:
            return self.posterior.next_seed()
        seed = tf.cast(seed, tf.int32)
        return tf.stack([tf.zeros_like(seed), seed]) if seed.shape.rank == 0 else seed


def _logaddexp(a, b):
    return tf.reduce_logsumexp(tf.stack([a, b]), axis=0)

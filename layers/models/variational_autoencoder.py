"""`VariationalAutoencoder`: encoder, posterior, prior, decoder and likelihood as one model with its own loss."""

import math

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import check_positive
from ikelos.layers.distributions.kl_divergence import KLDivergence, kl_divergence, weighted_mean
from ikelos.layers.distributions.vamp_prior import VampPrior
from ikelos.layers.models.active_units import ActiveUnits
from ikelos.layers.models.one_device import check_one_device

_PARTS = ("encoder", "posterior", "prior", "decoder", "likelihood")


@keras.saving.register_keras_serializable(package="ikelos")
class VariationalAutoencoder(keras.Model):
    """A latent variable model and its approximate posterior, trained together (Kingma & Welling 2014).

    The loss is its own: `compile("adam")`, then `fit(images)`. With one sample it is the negative evidence lower bound
    (equation 3 there), with more the negative importance-weighted bound (Burda et al. 2016, equation 8), as mean over
    the examples weighted by `sample_weight`. `y` is not used, but without any Keras drops the weights. Logged are
    `loss`, its parts `nll` (reconstruction) and `kl` in nats per example, and `active_units`, how many latent values
    the model uses (section 5.2 there): 0 is a collapsed posterior.

    With a condition, such as classes, all inputs are pairs `(inputs, condition)`, and so are the encoder's and the
    decoder's: `(latents, condition)`.

    Args:
        encoder: Layer or model from inputs `[B,...]` to the posterior's parameters.
        posterior: The distribution layer of the latent values, such as `Normal(Z)`.
        prior: The prior layer, such as `StandardNormalPrior(Z)`. A `VampPrior` must be of this encoder and posterior,
            and stays so in clones and loaded files.
        decoder: Layer or model from latent values `[B,Z]` to the likelihood's parameters.
        likelihood: The distribution layer of the inputs, such as `Bernoulli((28, 28, 1))`.
        num_samples: Samples of the posterior for each example of a training step, K.
        beta: Weight of the divergence, a number or a schedule, as in `KLDivergence`.
        free_bits: Nats that cost nothing, as in `KLDivergence`.
        use_exact_kl: As in `KLDivergence`.

    Call arguments:
        inputs: `[B,...]`, or the pair.

    Output shape: reconstructions `[B,...]`, float32 under half-precision policies too.

    Raises:
        ImportError: If TensorFlow Probability is not installed.
        ValueError: If parts don't fit together, or more than one sample shall have a weight, free bits or an exact
            divergence: these belong to the evidence lower bound.

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
        if num_samples > 1 and (beta != 1 or free_bits or use_exact_kl):
            raise ValueError(
                "`num_samples` must be 1 with a beta, free_bits or use_exact_kl of one's own. "
                f"Received: num_samples={num_samples}, beta={beta}, free_bits={free_bits}, use_exact_kl={use_exact_kl}"
            )
        if isinstance(prior, VampPrior) and not (prior.encoder is encoder and prior.posterior is posterior):
            raise ValueError(
                "A VampPrior must have the model's own encoder and posterior. "
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
        """What is logged."""
        return [self.loss_tracker, self.nll, self.kl, self.active_units]

    def build(self, input_shape):
        """Builds encoder and decoder if they are not."""
        latent_shape = (None, *self.posterior.event_shape)
        if not self.encoder.built:
            self.encoder.build(input_shape)
        if not self.decoder.built:
            self.decoder.build((latent_shape, input_shape[1]) if _are_paired(input_shape) else latent_shape)

    def compile(self, optimizer="rmsprop", loss=None, metrics=None, weighted_metrics=None, **kwargs):
        """As `keras.Model.compile`, but without loss and metrics, which are the model's own."""
        if loss is not None or metrics or weighted_metrics:
            raise ValueError(
                "`loss`, `metrics` and `weighted_metrics` must be None: the model has its own. "
                f"Received: loss={loss}, metrics={metrics}, weighted_metrics={weighted_metrics}"
            )
        check_one_device(self)
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config):
        """Compiles as a saved model was, which Keras leaves to whoever overrides `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self._parts_are_built():
            self.optimizer.build(self.trainable_variables)

    def count_params(self):
        """The number of weights, also before the first call if encoder and decoder are built."""
        if not self._parts_are_built():
            return super().count_params()
        return sum(math.prod(weight.shape) for weight in self.weights)

    def call(self, inputs, training=None):
        """Reconstructions, as `reconstruct`."""
        _, condition = _pair(inputs)
        return self._decoded(self._encoded(inputs, training).mean(), condition, training).mean()

    def encode(self, inputs):
        """Means of the posterior `[B,Z]`; `posterior_of` has all of it."""
        return self.posterior_of(inputs).mean()

    def posterior_of(self, inputs):
        """The posterior of inputs as `tfd.Distribution` with batch shape `[B]`."""
        return self._encoded(inputs, training=False)

    def decode(self, latents, condition=None):
        """Means of the likelihood `[B,...]` of latent values `[B,Z]`."""
        latents, condition = _pair((latents, condition))
        return self._decoded(latents, condition, training=False).mean()

    def reconstruct(self, inputs):
        """What is decoded of the posterior's means `[B,...]`."""
        return self(inputs, training=False)

    def sample(self, num, condition=None, seed=None):
        """Means of the likelihood `[num,...]` of latent values drawn from the prior.

        Args:
            num: Number of samples.
            condition: `[num,...]` for a model with one.
            seed: int, or int32 `[2]`; by default the next one.
        """
        return self.decode(self.prior.distribution().sample(num, seed=self._seed(seed)), condition)

    def anomaly_score(self, inputs, num_samples=16, seed=None):
        """Negative `log_likelihood`, nats `[B]`: the higher, the less the model expected the input."""
        return -self.log_likelihood(inputs, num_samples, seed=seed)

    def log_likelihood(self, inputs, num_samples, samples_at_once=20, seed=None):
        """The importance-weighted lower bound of `log p(inputs)` (Burda et al. 2016, equation 8), nats `[B]`.

        Args:
            inputs: `[B,...]`, or the pair.
            num_samples: Samples of the posterior, K; the bound rises with K to the log-likelihood itself.
            samples_at_once: So many are decoded together: memory holds `samples_at_once * B` examples.
            seed: int, or int32 `[2]`; by default the next one.
        """
        check_positive(num_samples=num_samples, samples_at_once=samples_at_once)
        seed = self._seed(seed)
        images, condition = _pair(inputs)
        posterior, prior = self._encoded(inputs, training=False), self.prior.distribution()

        def log_sum(number, chunk):
            """Logarithm of the sum of `number` weights, `[B]`."""
            latents = posterior.sample(number, seed=tf.random.experimental.stateless_fold_in(seed, chunk))
            nll = self._nll(latents, images, condition, training=False)
            return tf.reduce_logsumexp(prior.log_prob(latents) - posterior.log_prob(latents) - nll, axis=0)

        chunks, rest = divmod(num_samples, samples_at_once)
        # What does not fill a chunk comes before the loop, whose sum can then begin with a finite number.
        first = rest or samples_at_once
        _, total = tf.while_loop(
            lambda chunk, _: chunk < chunks + (rest > 0),
            lambda chunk, total: (chunk + 1, _logaddexp(total, log_sum(samples_at_once, chunk))),
            (tf.constant(1), log_sum(first, tf.constant(0))),
            parallel_iterations=1,
        )
        return total - math.log(num_samples)

    def train_step(self, data):
        """One step on what `fit` reads. Keras's own would compute reconstructions that the loss has no use for."""
        check_one_device(self)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = self.optimizer.scale_loss(self.compute_loss(x, y, None, sample_weight, training=True))
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights, strict=True)
        )
        return self.get_metrics_result()

    def test_step(self, data):
        """One step of `evaluate`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self.compute_loss(x, y, None, sample_weight, training=False)
        return self.get_metrics_result()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss, with that of the parts' regularisers; `y` and `y_pred` are not used."""
        images, condition = _pair(x)
        if not self.built:  # Training calls the parts, not the model, whose call Keras waits for.
            self.build(_joined(*(None if part is None else tuple(part.shape) for part in (images, condition))))
        sample_weight = _by_example(sample_weight)
        posterior, prior = self._encoded(x, training), self.prior.distribution()
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
        """`[B,*event_shape]` of the likelihood."""
        images_shape = input_shape[0] if _are_paired(input_shape) else input_shape
        return (images_shape[0], *self.likelihood.event_shape)

    def compute_output_spec(self, inputs, training=None):
        """The reconstructions' shape and dtype."""
        shape = self.compute_output_shape(keras.tree.map_structure(lambda x: x.shape, inputs))
        return keras.KerasTensor(shape, dtype=self.likelihood.params_dtype)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS},
            "num_samples": self.num_samples,
            "beta": keras.saving.serialize_keras_object(self.divergence.beta),
            "free_bits": self.divergence.free_bits,
            "use_exact_kl": self.divergence.use_exact_kl,
        }

    @classmethod
    def from_config(cls, config):
        """A model with the config's parts."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in (*_PARTS, "beta")}
        if isinstance(parts["prior"], VampPrior):
            # Alone, it was read with an encoder of its own.
            alone, shared = parts["prior"], {name: parts[name] for name in ("encoder", "posterior")}
            parts["prior"] = type(alone)(**{**alone.get_config(), **shared})
        return cls(**{**config, **parts})

    def _parts_are_built(self):
        return self.encoder.built and self.decoder.built

    def _encoded(self, inputs, training):
        return self.posterior.distribution(self.encoder(_joined(*_pair(inputs)), training=training))

    def _decoded(self, latents, condition, training):
        return self.likelihood.distribution(self.decoder(_joined(latents, condition), training=training))

    def _nll(self, latents, images, condition, training):
        """Nats `[K,B]` that `images` cost given latent values `[K,B,Z]`."""
        count = latents.shape[0]
        inputs = tf.reshape(latents, (-1, *self.posterior.event_shape))
        if condition is not None:
            condition = tf.tile(condition, [count] + [1] * (condition.shape.rank - 1))
        params = self.decoder(_joined(inputs, condition), training=training)
        likelihood = self.likelihood.distribution(tf.reshape(params, (count, -1, *params.shape[1:])))
        return -likelihood.log_prob(tf.cast(images, likelihood.dtype))

    def _seed(self, seed):
        """What a `tfd.Distribution` takes as seed, int32 `[2]`."""
        if seed is None:
            return self.posterior.next_seed()
        seed = tf.cast(seed, tf.int32)
        return tf.stack([tf.zeros_like(seed), seed]) if seed.shape.rank == 0 else seed


def _are_paired(shape):
    return isinstance(shape[0], tuple | list)


def _pair(inputs):
    """Inputs and their condition, None if there is none, as tensors: Keras's layers take no mixture."""
    inputs = inputs if isinstance(inputs, tuple | list) else (inputs, None)
    if len(inputs) != 2:
        raise ValueError(f"`inputs` must be a tensor or a pair (inputs, condition). Received: {len(inputs)} parts")
    images, condition = inputs
    return tf.convert_to_tensor(images), None if condition is None else tf.convert_to_tensor(condition)


def _joined(values, condition):
    """What encoder or decoder takes."""
    return values if condition is None else (values, condition)


def _by_example(sample_weight):
    """Weights `[B]`, also of `[B,1]`, which Keras takes too."""
    if sample_weight is None:
        return None
    sample_weight = tf.convert_to_tensor(sample_weight)
    shape = tuple(sample_weight.shape)
    if len(shape) != 1 and shape[1:] != (1,):
        raise ValueError(f"`sample_weight` must be [B] or [B,1]. Received: sample_weight.shape={shape}")
    return tf.reshape(sample_weight, [-1])


def _logaddexp(a, b):
    return tf.reduce_logsumexp(tf.stack([a, b]), axis=0)

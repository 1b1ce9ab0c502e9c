"""`AdversarialModel`: `fit` for any generator and discriminator."""

import random

import keras
import tensorflow as tf

from ikelos.layers.adversarial.arguments import check_built, check_options, warn_of_mixed_samples
from ikelos.layers.adversarial.inputs import default_latent_size, joined, unpacked
from ikelos.layers.adversarial.losses import LOSSES
from ikelos.layers.adversarial.moving_average import copy_of, update_average
from ikelos.layers.adversarial.pairwise_diversity import PairwiseDiversity
from ikelos.layers.adversarial.penalties import weighted_penalties

# What the random numbers of a step are for: each use has its own.
_FOR_DISCRIMINATOR, _FOR_GENERATOR, _FOR_PENALTY, _FOR_EVALUATION = range(4)


@keras.saving.register_keras_serializable(package="ikelos")
class AdversarialModel(keras.Model):
    """Trains a generator against a discriminator (Goodfellow et al. 2014, algorithm 1).

    `fit(samples)`, or `fit(samples, conditions)`: `samples [B,...]` is what the generator learns to make, of its
    outputs' shape and range. Networks are called with:

    | | generator | discriminator |
    |---|---|---|
    | `fit(samples)` | latents `[B,Z]` | samples |
    | with a condition | `[latents, condition]` | `[samples, condition]` |
    | with several, as a tuple or list | `[latents, *conditions]` | `[samples, *conditions]` |
    | with several, as a dict | `{"latents": latents, **conditions}` | `{"samples": samples, **conditions}` |

    With `latent_size=0` the generator gets the conditions alone: what it turns into samples, such as images of another
    style or of lower resolution. Latents are normal, a function of `seed` and `step` (under XLA another one). The
    discriminator gives scores (logits, no sigmoid), `[B]`, `[B,1]` or a map of patches.

    Each batch is one update of the discriminator; each `discriminator_steps`-th one of the generator follows. What a
    network keeps beside its weights (statistics of batch normalisation, Keras's `SpectralNormalization`) changes in
    its own updates alone.

    `ema_generator` is the moving average of the generator, which makes all samples outside training: `sample`,
    `generate`, the model's own call and `predict`, validation. Export it: `model.ema_generator.export(path)`.

    Logs: `generator_loss` and `discriminator_loss` without penalties; `real_accuracy` and `fake_accuracy`, the share
    of samples that the discriminator tells rightly; `diversity`, see `PairwiseDiversity`; the weighted penalties by
    name, the mean of the steps where they count; `reconstruction_loss`, unweighted; `discriminator_updates`, the share
    that was not paused. Validation takes the same latents each time, without penalties and augmentation.

    Args:
        generator: Built model or layer with `get_config`.
        discriminator: Built model or layer.
        loss: `"min_max"`, `"non_saturating"`, `"hinge"`, `"wasserstein"` (needs the gradient penalty or spectral
            normalisation) or `"least_squares"`; equations in `layers/adversarial/losses.py`.
        latent_size: Z. By default the last axis of the generator's input called `latents`, else of its first.
        discriminator_sees_condition: Whether the discriminator gets the conditions too.
        augmentation: Layer that changes all that the discriminator sees in training, such as
            `DifferentiableAugmentation()`.
        penalties: Weights by name: `"gradient_penalty"`, `"r1"`, `"r2"`; equations in
            `layers/adversarial/penalties.py`. The discriminator must score each sample alone: no batch normalisation.
        penalty_interval: Every how many steps penalties count, as many times (Karras et al. 2020, appendix B).
        reconstruction_loss: Keras loss of generated samples against the real ones of the same conditions, added to
            the generator's (Isola et al. 2017, equation 4).
        reconstruction_weight: Its weight.
        discriminator_steps: Updates of the discriminator, each on a new batch, for one of the generator.
        max_discriminator_accuracy: The discriminator pauses on batches of which it tells a greater share rightly, real
            and generated together. 1: it never does.
        ema_momentum: Of the moving average, after a warm-up; 0 to follow the generator.
        seed: int for the latents; by default drawn at random.

    Raises:
        ValueError: If an argument is another, or a network is not built.

    Example:

    >>> generator = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    >>> critic = keras.Sequential([keras.Input((2,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
    >>> model = AdversarialModel(generator, critic, loss="hinge", penalties={"r1": 0.1})
    >>> model.compile(generator_optimizer="adam", discriminator_optimizer="adam")
    >>> history = model.fit(keras.random.normal((64, 2)), verbose=0)
    >>> model.sample(5, seed=1).shape
    TensorShape([5, 2])
    """

    def __init__(
        self,
        generator,
        discriminator,
        loss="non_saturating",
        latent_size=None,
        discriminator_sees_condition=True,
        augmentation=None,
        penalties=None,
        penalty_interval=1,
        reconstruction_loss=None,
        reconstruction_weight=1.0,
        discriminator_steps=1,
        max_discriminator_accuracy=1.0,
        ema_momentum=0.999,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        penalties = {} if penalties is None else penalties
        check_built(generator=generator, discriminator=discriminator)
        latent_size = default_latent_size(generator) if latent_size is None else latent_size
        check_options(
            loss=loss,
            latent_size=latent_size,
            penalties=penalties,
            penalty_interval=penalty_interval,
            discriminator_steps=discriminator_steps,
            max_discriminator_accuracy=max_discriminator_accuracy,
            ema_momentum=ema_momentum,
        )
        warn_of_mixed_samples(discriminator, penalties)
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.latent_size = latent_size
        self.discriminator_sees_condition = discriminator_sees_condition
        self.augmentation = augmentation
        self.penalties = penalties
        self.penalty_interval = penalty_interval
        self.reconstruction_loss = keras.losses.get(reconstruction_loss)
        self.reconstruction_weight = reconstruction_weight
        self.discriminator_steps = discriminator_steps
        self.max_discriminator_accuracy = max_discriminator_accuracy
        self.ema_momentum = ema_momentum
        self.seed = random.randint(1, 10**9) if seed is None else seed

        self.ema_generator = copy_of(generator)
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        validated = ["generator_loss", "discriminator_loss", "real_accuracy", "fake_accuracy"]
        validated += ["reconstruction_loss"] if reconstruction_loss else []
        paused = ["discriminator_updates"] if max_discriminator_accuracy < 1 else []
        self._means = {name: keras.metrics.Mean(name) for name in (*validated, *penalties, *paused)}
        self._diversity = PairwiseDiversity()
        self._validated = (*validated, self._diversity.name)
        self.built = True

    def compile(
        self,
        generator_optimizer,
        discriminator_optimizer,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
    ):
        """Gives each network its optimizer; the other arguments are Keras's.

        Under `mixed_float16` the optimizers get Keras's `LossScaleOptimizer` around them.
        """
        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas > 1:
            # Each would draw the same latents.
            raise ValueError(f"`AdversarialModel` trains on one device. Received: a strategy of {replicas} replicas")
        optimizers = [keras.optimizers.get(x) for x in (generator_optimizer, discriminator_optimizer)]
        if optimizers[0] is optimizers[1]:
            raise ValueError(
                f"The networks must have an optimizer each. Received: generator_optimizer={generator_optimizer}, "
                f"discriminator_optimizer={discriminator_optimizer}"
            )
        if self.dtype_policy.name == "mixed_float16":
            optimizers = [_scaling(optimizer) for optimizer in optimizers]
        settings = {
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        super().compile(optimizer=None, **settings)
        self._compile_settings = settings
        self.generator_optimizer, self.discriminator_optimizer = optimizers
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def get_compile_config(self):
        """The arguments of `compile`."""
        if not self.compiled:
            return {}
        optimizers = {name: getattr(self, name) for name in ("generator_optimizer", "discriminator_optimizer")}
        return {name: keras.saving.serialize_keras_object(x) for name, x in optimizers.items()} | self._compile_settings

    def compile_from_config(self, config):
        """Compiles as `get_compile_config` tells."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def metrics(self):
        """Keras's, without its `loss`: there are two."""
        return [metric for metric in super().metrics if metric.name != "loss"]

    def call(self, inputs):
        """Samples from the generator's inputs."""
        return self.ema_generator(inputs, training=False)

    def generate(self, latents=None, condition=None):
        """Samples from `latents [B,Z]`, unless `latent_size=0`, and from `condition`, in the forms of `fit`."""
        return self(self._generator_inputs(latents, condition))

    def sample(self, num, seed, condition=None):
        """`num` samples, a function of the int `seed`, and of `condition` for as many rows."""
        return self.generate(self._latents(num, [seed, 0]), condition)

    def train_step(self, data):
        """One update of the discriminator, and one of the generator if it is due."""
        real, condition = unpacked(data, self.variable_dtype)
        self._train_discriminator(real, condition)
        every = self.discriminator_steps
        _when(every == 1 or self.step % every == every - 1, lambda: self._train_generator(real, condition))
        self.step.assign_add(1)
        return self.get_metrics_result()

    def test_step(self, data):
        """The logs of a batch, without penalties and augmentation."""
        real, condition = unpacked(data, self.variable_dtype)
        index = tf.cast(self._means["generator_loss"].count, tf.int64)
        fake = self._fakes(self.ema_generator, real, condition, self._random_seed(_FOR_EVALUATION, index), False)
        real_scores, fake_scores = (self._scores(x, condition, training=False) for x in (real, fake))
        self._log_discriminator(real, fake, real_scores, fake_scores)
        self._log_generator(real, fake, fake_scores)
        return {name: result for name, result in self.get_metrics_result().items() if name in self._validated}

    def _train_discriminator(self, real, condition):
        with keras.StatelessScope():
            fake = self._fakes(self.generator, real, condition, self._random_seed(_FOR_DISCRIMINATOR), True)
        real_seen, fake_seen = self._augmented(real), self._augmented(fake)
        with tf.GradientTape() as tape:
            real_scores = self._scores(real_seen, condition, training=True)
            losses = self.discriminator.losses
            fake_scores = self._scores(fake_seen, condition, training=True)
            losses = [*losses, *self.discriminator.losses]
            loss, accuracy = self._log_discriminator(real, fake, real_scores, fake_scores)
            # Half of both calls' own losses: those of weights are in both.
            loss += self._total(losses) / 2 + self._penalty(real_seen, fake_seen, condition)
            loss = self.discriminator_optimizer.scale_loss(loss)
        weights = self.discriminator.trainable_variables
        gradients = tape.gradient(loss, weights)
        limit = self.max_discriminator_accuracy
        if limit < 1:
            self._log(discriminator_updates=tf.cast(accuracy <= limit, tf.float32))
        _when(limit == 1 or accuracy <= limit, lambda: self.discriminator_optimizer.apply(gradients, weights))

    def _train_generator(self, real, condition):
        with tf.GradientTape() as tape:
            fake = self._fakes(self.generator, real, condition, self._random_seed(_FOR_GENERATOR), True)
            losses = self.generator.losses
            seen = self._augmented(fake)
            with keras.StatelessScope():
                scores = self._scores(seen, condition, training=True)
            loss = self.generator_optimizer.scale_loss(self._log_generator(real, fake, scores) + self._total(losses))
        weights = self.generator.trainable_variables
        self.generator_optimizer.apply(tape.gradient(loss, weights), weights)
        update_average(self.ema_generator, self.generator, self.ema_momentum, self.step // self.discriminator_steps)

    def _log_discriminator(self, real, fake, real_scores, fake_scores):
        """Logs what a batch tells of the discriminator; returns its loss and its accuracy."""
        loss = LOSSES[self.loss].discriminator(real_scores, fake_scores)
        threshold = LOSSES[self.loss].threshold(real_scores, fake_scores)
        real_accuracy = tf.reduce_mean(tf.cast(real_scores > threshold, tf.float32))
        fake_accuracy = tf.reduce_mean(tf.cast(fake_scores <= threshold, tf.float32))
        self._log(discriminator_loss=loss, real_accuracy=real_accuracy, fake_accuracy=fake_accuracy)
        self._diversity.update_state(real, fake)
        return loss, (real_accuracy + fake_accuracy) / 2

    def _log_generator(self, real, fake, scores):
        """Logs what a batch tells of the generator; returns its loss, with that of reconstruction."""
        loss = LOSSES[self.loss].generator(scores)
        self._log(generator_loss=loss)
        if self.reconstruction_loss is None:
            return loss
        distance = tf.reduce_mean(tf.cast(self.reconstruction_loss(real, fake), loss.dtype))
        self._log(reconstruction_loss=distance)
        return loss + self.reconstruction_weight * distance

    def _log(self, **values):
        for name, value in values.items():
            self._means[name].update_state(value)

    def _penalty(self, real, fake, condition):
        """The weighted penalties, if they are due."""

        def scores(samples):
            with keras.StatelessScope():
                return self._scores(samples, condition, training=True)

        def total():
            seed = self._random_seed(_FOR_PENALTY)
            values = weighted_penalties(self.penalties, scores, real, fake, seed)
            self._log(**values)
            return self.penalty_interval * tf.add_n(list(values.values()))

        if not self.penalties:
            return 0.0
        if self.penalty_interval == 1:
            return total()
        return tf.cond(self.step % self.penalty_interval == 0, total, lambda: tf.zeros([], real.dtype))

    def _augmented(self, samples):
        return samples if self.augmentation is None else self._cast(self.augmentation(samples, training=True))

    def _fakes(self, generator, real, condition, seed, training):
        """As many generated samples as real ones."""
        latents = self._latents(tf.shape(real)[0], seed)
        return self._cast(generator(self._generator_inputs(latents, condition), training=training))

    def _scores(self, samples, condition, training):
        inputs = joined("samples", samples, condition if self.discriminator_sees_condition else None)
        return self._cast(self.discriminator(inputs, training=training))

    def _cast(self, x):
        """What a network gives, in the precision of samples, scores and losses: float32 in mixed precision."""
        return tf.cast(x, self.variable_dtype)

    def _total(self, losses):
        """The sum of the losses that a network's layers added."""
        return sum(self._cast(loss) for loss in losses)

    def _generator_inputs(self, latents, condition):
        name, first = ("latents", latents) if self.latent_size else ("condition", condition)
        if first is None:
            raise ValueError(f"`{name}` must be given where latent_size={self.latent_size}. Received: {name}=None")
        return joined(name, first, condition) if self.latent_size else condition

    def _latents(self, num, seed):
        return tf.random.stateless_normal([num, self.latent_size], seed)

    def _random_seed(self, use, index=None):
        """For the random numbers of a step, so that a loaded model goes on with those it would have had."""
        index = self.step.value if index is None else index
        return tf.stack([tf.constant(self.seed, tf.int64), 4 * index + use])

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "loss": self.loss,
            "latent_size": self.latent_size,
            "discriminator_sees_condition": self.discriminator_sees_condition,
            "augmentation": keras.saving.serialize_keras_object(self.augmentation),
            "penalties": dict(self.penalties),
            "penalty_interval": self.penalty_interval,
            "reconstruction_loss": keras.saving.serialize_keras_object(self.reconstruction_loss),
            "reconstruction_weight": self.reconstruction_weight,
            "discriminator_steps": self.discriminator_steps,
            "max_discriminator_accuracy": self.max_discriminator_accuracy,
            "ema_momentum": self.ema_momentum,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """A model with the config's networks."""
        parts = ("generator", "discriminator", "augmentation", "reconstruction_loss")
        return cls(**config | {name: keras.saving.deserialize_keras_object(config[name]) for name in parts})


def _when(condition, function):
    """Calls `function` if `condition`, a bool or a tensor, holds."""
    if condition is True:
        function()
    else:
        tf.cond(condition, function, lambda: None)


def _scaling(optimizer):
    """An optimizer that scales the loss, as the narrow range of float16 needs."""
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer if scales else keras.optimizers.LossScaleOptimizer(optimizer)

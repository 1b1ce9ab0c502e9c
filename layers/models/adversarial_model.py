"""`AdversarialModel`: `fit` for any generator and discriminator."""

import random

import keras

from ikelos.layers.adversarial.arguments import check_networks, check_options, warn_of_mixed_samples
from ikelos.layers.adversarial.inputs import default_latent_size, generator_inputs, unpacked
from ikelos.layers.adversarial.moving_average import copy_of
from ikelos.layers.adversarial.optimizers import Optimizers, prepared
from ikelos.layers.adversarial.pairwise_diversity import PairwiseDiversity
from ikelos.layers.adversarial.randomness import normal_latents
from ikelos.layers.adversarial.training import evaluate, train
from ikelos.layers.models.one_device import check_one_device
from ikelos.layers.options import check_draw, deserialized, serialized
from ikelos.layers.random_state import KeepsRandomState


@keras.saving.register_keras_serializable(package="ikelos")
class AdversarialModel(KeepsRandomState):
    """Trains a generator against a discriminator (Goodfellow et al. 2014, algorithm 1).

    Call `fit(samples)` or `fit(samples, conditions)`, where `samples [B,...]` are data that the generator learns to
    imitate; they must have the shape and the range of the generator's outputs. The networks are called with:

    | | generator | discriminator |
    |---|---|---|
    | `fit(samples)` | latents `[B,Z]` | samples |
    | with a condition | `[latents, condition]` | `[samples, condition]` |
    | with several, as a tuple or list | `[latents, *conditions]` | `[samples, *conditions]` |
    | with several, as a dict | `{"latents": latents, **conditions}` | `{"samples": samples, **conditions}` |

    With `latent_size=0` the generator gets only the conditions and turns them into samples, such as images of another
    style or of higher resolution. Latents are standard normal and depend only on `seed` and `step`, but XLA draws other
    numbers. The discriminator outputs scores, which are logits without a sigmoid: `[B]`, `[B,1]` or a map of patches.

    Each batch updates the discriminator; every `discriminator_steps`-th batch updates the generator too. A network's
    state beside its weights (statistics of batch normalization, Keras's `SpectralNormalization`) changes only when this
    network is updated.

    `ema_generator` is the moving average of the generator. It generates all samples outside training: in `sample`,
    `generate`, calls of the model, `predict` and validation. To export it, call `model.ema_generator.export(path)`.

    Each optimizer takes a learning rate or a schedule; a schedule counts the updates by its optimizer. Keras's
    callbacks find both optimizers in `model.optimizer`, as with `keras.optimizers.MultiOptimizer`, and treat them
    separately: `ReduceLROnPlateau` multiplies both learning rates; `LearningRateScheduler` calls its function for each,
    with the current rate. The logs then have `learning_rate_generator_optimizer` and
    `learning_rate_discriminator_optimizer`. If an optimizer has a schedule, these callbacks raise Keras's error.

    Files of the model or of its weights hold the step and the states of dropout and augmentation. So a loaded model
    continues with the random numbers that the saved one would have drawn.

    The logs have `generator_loss` and `discriminator_loss`, without penalties; `real_accuracy` and `fake_accuracy`, the
    fractions of samples that the discriminator classifies correctly; `diversity`, see `PairwiseDiversity`; the weighted
    penalties by name, averaged over the steps that compute them; `reconstruction_loss`, without its weight; and
    `discriminator_updates`, the fraction of batches in which the discriminator was updated. Validation uses the same
    latents each time, and neither penalties nor augmentation.

    Args:
        generator: Built model or layer with `get_config`.
        discriminator: Built model or layer.
        loss: `"min_max"`, `"non_saturating"`, `"hinge"`, `"wasserstein"` (which needs the gradient penalty or spectral
            normalization) or `"least_squares"`; equations in `layers/adversarial/losses.py`.
        latent_size: Size of the latents, Z. By default the last axis of the generator's input called `latents`, or of
            its first input.
        discriminator_sees_condition: Whether the discriminator gets the conditions too.
        augmentation: Layer through which the discriminator sees all samples in training, such as
            `DifferentiableAugmentation()`.
        penalties: Weights by name: `"gradient_penalty"`, `"r1"`, `"r2"`; equations in
            `layers/adversarial/penalties.py`. A weight is a number, or a `keras.Variable` or `tf.Variable`, which a
            callback can change and a saved model keeps. The discriminator must score each sample independently of the
            others, so without batch normalization.
        penalty_interval: Number of steps from one use of the penalties to the next, by which the penalties are
            multiplied (Karras et al. 2020, appendix B).
        reconstruction_loss: Keras loss between the real samples and those generated for the same conditions, added to
            the generator's loss (Isola et al. 2017, equation 4).
        reconstruction_weight: Weight of the reconstruction loss, a number or a variable.
        discriminator_steps: Number of updates of the discriminator, each on a new batch, for each update of the
            generator.
        max_discriminator_accuracy: Largest accuracy, over real and generated samples together, with which the
            discriminator is still updated on a batch. With 1 every batch updates it.
        ema_momentum: Momentum of the moving average, after a warm-up. With 0 the average equals the generator.
        seed: int from which the latents are drawn, by default random. Files of weights do not contain it.

    Raises:
        ValueError: If an argument is not as described or a network is not built. In `fit`, `evaluate`, `sample` and
            `generate`: if the conditions do not match the inputs of a functional or sequential network. In `fit` and
            `evaluate`: if samples have another shape than the generator's outputs, or sample weights are given.

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
        check_networks(generator=generator, discriminator=discriminator)
        latent_size = default_latent_size(generator) if latent_size is None else latent_size
        check_options(
            loss=loss,
            latent_size=latent_size,
            penalties=penalties,
            penalty_interval=penalty_interval,
            reconstruction_weight=reconstruction_weight,
            discriminator_steps=discriminator_steps,
            max_discriminator_accuracy=max_discriminator_accuracy,
            ema_momentum=ema_momentum,
            seed=seed,
            augmentation=augmentation,
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
        self.means = {name: keras.metrics.Mean(name) for name in (*validated, *penalties, *paused)}
        self.diversity = PairwiseDiversity()
        self._validated = (*validated, self.diversity.name)
        self.built = True

    def compile(
        self,
        generator_optimizer,
        discriminator_optimizer,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
    ):
        """Sets the optimizer of each network; the other arguments are those of `keras.Model.compile`.

        Under `mixed_float16` the optimizers are wrapped in Keras's `LossScaleOptimizer`.

        Raises:
            ValueError: If both networks have the same optimizer, Keras does not know an optimizer, or a `tf.distribute`
                strategy is in use.
        """
        check_one_device(self)
        optimizers = prepared(
            scaled=self.dtype_policy.name == "mixed_float16",
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
        )
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
        self.optimizer = Optimizers(optimizers, self.step)

    def get_compile_config(self):
        """Returns the arguments of `compile`."""
        if not self.compiled:
            return {}
        optimizers = {name: getattr(self, name) for name in ("generator_optimizer", "discriminator_optimizer")}
        return {name: keras.saving.serialize_keras_object(x) for name, x in optimizers.items()} | self._compile_settings

    def compile_from_config(self, config):
        """Compiles the model with the result of `get_compile_config`."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def metrics(self):
        """Metrics in the logs: those of Keras without `loss`, because there are two losses."""
        return [metric for metric in super().metrics if metric.name != "loss"]

    def call(self, inputs):
        """Returns samples `[B,...]` for inputs of the generator."""
        return self.ema_generator(inputs, training=False)

    def generate(self, latents=None, condition=None):
        """Returns samples `[B,...]` for `latents [B,Z]` (None if `latent_size=0`) and `condition`, in the forms of
        `fit`.

        Raises:
            ValueError: If latents or conditions are missing or do not match the inputs of the generator.
        """
        return self(generator_inputs(self.generator, latents, condition, self.latent_size))

    def sample(self, num, seed, condition=None):
        """Returns samples `[num,...]`, which depend only on the int `seed` and on `condition`, with `num` rows.

        Raises:
            ValueError: If `num` is not a positive integer, `seed` is not an int, or the conditions do not match the
                inputs of the generator.
        """
        check_draw(num, seed)
        if seed is None:
            raise ValueError("`seed` must be an int. Received: seed=None")
        return self.generate(normal_latents(num, self.latent_size, [seed, 0]), condition)

    def train_step(self, data):
        """Updates the discriminator, and in every `discriminator_steps`-th step the generator too; returns the logs."""
        check_one_device(self)
        train(self, *unpacked(data, self.variable_dtype))
        return self.get_metrics_result()

    def test_step(self, data):
        """Returns the logs of one batch, without penalties and augmentation."""
        evaluate(self, *unpacked(data, self.variable_dtype))
        return {name: result for name, result in self.get_metrics_result().items() if name in self._validated}

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "loss": self.loss,
            "latent_size": self.latent_size,
            "discriminator_sees_condition": self.discriminator_sees_condition,
            "augmentation": keras.saving.serialize_keras_object(self.augmentation),
            "penalties": {name: serialized(weight) for name, weight in self.penalties.items()},
            "penalty_interval": self.penalty_interval,
            "reconstruction_loss": keras.saving.serialize_keras_object(self.reconstruction_loss),
            "reconstruction_weight": serialized(self.reconstruction_weight),
            "discriminator_steps": self.discriminator_steps,
            "max_discriminator_accuracy": self.max_discriminator_accuracy,
            "ema_momentum": self.ema_momentum,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """Returns a model with the constructor's arguments in `config`."""
        names = ("generator", "discriminator", "augmentation", "reconstruction_loss")
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in names}
        weights = {
            "penalties": {name: deserialized(weight) for name, weight in config["penalties"].items()},
            "reconstruction_weight": deserialized(config["reconstruction_weight"]),
        }
        return cls(**config | parts | weights)

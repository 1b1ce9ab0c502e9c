"""Optimizers that record of each step what a run wants to know, and average the weights."""

import contextlib
import re
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras import ops

from ikelos.pipelines.recipe.sections import Training


class _Recording(keras.optimizers.Optimizer):
    """Lets a Keras optimizer record every step inside the step's own graph, and average the weights.

    Keras's own `use_ema` is not used: its `fit` ends by overwriting the weights with the average, while
    a run here calls `fit` once an epoch and goes on from the raw weights; and at a momentum of 0.999 its
    average would mostly be the first steps' weights for the first thousand steps.

    Attributes:
        loss: Of the last step, float32 `[]`.
        rate: The learning rate of the last step, float32 `[]`.
        gradient_norm: Global norm before clipping, float32 `[]`.
        gradient_norms: The same of each trainable variable, float32 `[variables]`.
        clipped_steps: How many steps were clipped so far, int64 `[]`.
        averages: One for each trainable variable, or empty with `average_momentum=0`.
    """

    def __init__(self, *, average_momentum: float, **kwargs):
        super().__init__(**kwargs)
        self.average_momentum = average_momentum

    def build(self, variables):
        """Adds the records; call it before the first step, outside of any graph."""
        if self.built:
            return
        super().build(variables)
        self.loss = self.add_variable((), name="loss")
        self.rate = self.add_variable((), name="rate")
        self.gradient_norm = self.add_variable((), name="gradient_norm")
        self.gradient_norms = self.add_variable((len(variables),), name="gradient_norms")
        self.clipped_steps = self.add_variable((), dtype="int64", name="clipped_steps")
        self.averages = self.add_optimizer_variables(variables, "average") if self.average_momentum else []
        for variable, average in zip(variables, self.averages, strict=False):
            average.assign(variable)

    def scale_loss(self, loss):
        """Records the step's loss, which Keras shows nowhere else: its logs are means over the epoch."""
        self.loss.assign(ops.cast(loss, "float32"))
        return super().scale_loss(loss)

    def apply(self, grads, trainable_variables):
        """Records the gradient's norms, updates the weights, then their averages."""
        # An embedding's gradient comes as slices in which a token that occurs twice stands twice. Keras
        # squares them one by one, which is neither the gradient's norm nor its second moment, so they
        # are added up first.
        grads = [None if grad is None else tf.convert_to_tensor(grad) for grad in grads]
        squares = ops.stack([0.0 if grad is None else ops.sum(ops.square(grad)) for grad in grads])
        norm = ops.sqrt(ops.sum(squares))
        self.rate.assign(self.learning_rate)
        self.gradient_norms.assign(ops.sqrt(squares))
        self.gradient_norm.assign(norm)
        self.clipped_steps.assign_add(ops.cast(norm > self.global_clipnorm, "int64"))
        super().apply(grads, trainable_variables)
        # The momentum grows with the run (as in tf.train.ExponentialMovingAverage), or the average of a
        # short run would be its initial weights.
        step = ops.cast(self.iterations, "float32")
        momentum = ops.minimum(self.average_momentum, step / (step + 9))
        for variable, average in zip(trainable_variables, self.averages, strict=False):
            average.assign_add((average - variable) * ops.cast(momentum - 1, variable.dtype))


class AdamW(_Recording, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` that records."""


class Muon(_Recording, keras.optimizers.Muon):
    """`keras.optimizers.Muon` that records."""


def schedule(training: Training) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up from 0, then a cosine to `final_learning_rate_ratio` of the peak at the last step.

    A run that is shorter than its warm-up ends within it.
    """
    decay_steps = max(training.steps - training.warmup_steps, 1)
    if training.warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(
            training.learning_rate, decay_steps, alpha=training.final_learning_rate_ratio
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps,
        alpha=training.final_learning_rate_ratio,
        warmup_target=training.learning_rate,
        warmup_steps=training.warmup_steps,
    )


def decays(variable: keras.Variable) -> bool:
    """Whether weight decay applies: to matrices, neither to biases and scales nor to embeddings.

    The name is looked at as well as the rank, as attention's and recurrent biases are matrices too.
    """
    exempt = re.search("bias|gamma|beta|scale", variable.name) or "embedding" in variable.path
    return len(variable.shape) >= 2 and not exempt


def build_optimizer(training: Training, model: keras.Model) -> AdamW | Muon:
    """Makes the optimizer of a run, built for `model`.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; scaled as in
    https://arxiv.org/abs/2502.16982) takes matrices other than embeddings and the last layer, which must
    be called `logits`; AdamW takes the rest.
    """
    common = {
        "learning_rate": schedule(training),
        "weight_decay": training.weight_decay,
        "global_clipnorm": training.clip_norm,
        "average_momentum": training.ema_momentum,
    }
    if training.optimizer == "adamw":
        optimizer = AdamW(beta_2=training.beta_2, **common)
    else:
        optimizer = Muon(
            adam_beta_2=training.beta_2,
            adam_weight_decay=training.weight_decay,
            exclude_layers=["logits"],
            **common,
        )
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if not decays(v)])
    optimizer.build(model.trainable_variables)
    return optimizer


def use_averages(model: keras.Model) -> None:
    """Overwrites the weights with their averages, if there are any."""
    for variable, average in zip(model.trainable_variables, model.optimizer.averages, strict=False):
        variable.assign(average)


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """The model with its averaged weights, for as long as the context lasts.

    The raw weights come back bit by bit, unlike those of `keras.callbacks.SwapEMAWeights`, which swaps by adding and
    subtracting. So does everything else that the model keeps: a validation that draws random numbers, or is done
    twice after a kill, changes nothing of the training.
    """
    variables = model.variables
    raw = [variable.numpy() for variable in variables]
    use_averages(model)
    try:
        yield
    finally:
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)

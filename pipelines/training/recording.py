"""Keras optimizers that record of each step what a run wants to know, and average the weights."""

import keras
import tensorflow as tf
from keras import ops


class Recording(keras.optimizers.Optimizer):
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

    @property
    def trained(self) -> list[keras.Variable]:
        """The variables that it moves."""
        return self._trainable_variables  # a list of our own would be tracked, and saved in every checkpoint

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

    def use_averages(self) -> None:
        """Overwrites the weights with their averages, if there are any."""
        for variable, average in zip(self.trained, self.averages, strict=False):
            variable.assign(average)


class AdamW(Recording, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` that records."""


class Muon(Recording, keras.optimizers.Muon):
    """`keras.optimizers.Muon` that records."""

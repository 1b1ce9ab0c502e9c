"""Keras optimizers that record figures of each step and average the weights."""

import keras
import tensorflow as tf
from keras import ops


class Recording(keras.optimizers.Optimizer):
    """Mixin that makes a Keras optimizer record each step within the step's graph and average the weights.

    Keras's `use_ema` is not used for two reasons: its `fit` ends by overwriting the weights with their averages, while
    training here calls `fit` once for each epoch and continues from the raw weights; and at a momentum of 0.999 its
    averages would be dominated by the first steps' weights for the first thousand steps.

    Attributes:
        loss: Loss of the last step, float32 `[]`.
        rate: Learning rate of the last step, float32 `[]`.
        gradient_norm: Global gradient norm before clipping, float32 `[]`.
        gradient_norms: Gradient norm of each trainable variable before clipping, float32 `[variables]`.
        clipped_steps: Number of steps so far whose gradient was clipped, int64 `[]`.
        averages: Average of each trainable variable; empty with `average_momentum=0`.
    """

    def __init__(self, *, average_momentum: float, **kwargs):
        super().__init__(**kwargs)
        self.average_momentum = average_momentum

    def build(self, variables):
        """Adds the variables of the records and averages; call it before the first step, outside of any graph."""
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
        """The variables that the optimizer updates."""
        return self._trainable_variables  # Keras would track a second list, and every checkpoint would hold it

    def scale_loss(self, loss):
        """Records the step's loss, which Keras's logs do not contain: they are means over the epoch."""
        self.loss.assign(ops.cast(loss, "float32"))
        return super().scale_loss(loss)

    def apply(self, grads, trainable_variables):
        """Records the gradient's norms, updates the weights, then their averages."""
        # The gradient of an embedding is a list of slices, with two slices for a token that occurs twice. They are
        # summed first: Keras would square them one by one, and get neither the norm nor the second moment right.
        grads = [None if grad is None else tf.convert_to_tensor(grad) for grad in grads]
        squares = ops.stack([0.0 if grad is None else ops.sum(ops.square(grad)) for grad in grads])
        norm = ops.sqrt(ops.sum(squares))
        self.rate.assign(self.learning_rate)
        self.gradient_norms.assign(ops.sqrt(squares))
        self.gradient_norm.assign(norm)
        self.clipped_steps.assign_add(ops.cast(norm > self.global_clipnorm, "int64"))
        super().apply(grads, trainable_variables)
        # The momentum grows with the steps, as in tf.train.ExponentialMovingAverage: otherwise the averages of a short
        # run would be close to its initial weights.
        step = ops.cast(self.iterations, "float32")
        momentum = ops.minimum(self.average_momentum, step / (step + 9))
        for variable, average in zip(trainable_variables, self.averages, strict=False):
            average.assign_add((average - variable) * ops.cast(momentum - 1, variable.dtype))

    def use_averages(self) -> None:
        """Overwrites the weights with their averages, if there are any."""
        for variable, average in zip(self.trained, self.averages, strict=False):
            variable.assign(average)


class AdamW(Recording, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with the records of `Recording`."""


class Muon(Recording, keras.optimizers.Muon):
    """`keras.optimizers.Muon` with the records of `Recording`."""

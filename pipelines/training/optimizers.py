"""The optimizers of a stage, by name: one for the whole model, or one for each of its parts."""

import collections
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from ikelos.pipelines.recipe.sections import Optimizer, Training
from ikelos.pipelines.training.history import MODEL, key
from ikelos.pipelines.training.recording import AdamW, Muon, Recording

Optimizers = Mapping[str, Recording]


def build(training: Training, model: keras.Model) -> dict[str, Recording]:
    """Returns the optimizers of a stage, each built for its weights (see `recipe.sections.Optimizers`).

    Raises:
        ValueError: If the model has no part with an optimizer's name, or a weight does not have exactly one optimizer.
    """
    parts = {name: _part(model, name).trainable_variables for name, _ in training.optimizers}
    moved = collections.Counter(id(variable) for variables in parts.values() for variable in variables)
    for variable in model.trainable_variables:
        if moved[id(variable)] != 1:
            raise ValueError(
                f"`optimizers` must update each trainable weight once. Received: optimizers={list(parts)}, of which "
                f"{moved[id(variable)]} update {variable.path!r}"
            )
    return {
        name: _build(settings, training, parts[name], _rate(schedule(settings, training.steps), model))
        for name, settings in training.optimizers
    }


def compile_model(
    model: keras.Model, optimizers: Optimizers, loss: keras.losses.Loss | None, jit_compile: bool
) -> None:
    """Compiles the model with its optimizers; without a loss, the model's own `compute_loss` is used.

    Raises:
        ValueError: If Keras wraps an optimizer in another one, as it does under `mixed_float16`. The state of the outer
            optimizer would be in no checkpoint, and it would hide the loss.
    """
    arguments = {key(name, "optimizer"): optimizer for name, optimizer in optimizers.items()}
    if loss is not None:
        arguments["loss"] = loss
    model.compile(**arguments, jit_compile=jit_compile)
    for name, optimizer in arguments.items():
        if name != "loss" and getattr(model, name) is not optimizer:
            raise ValueError(
                "A stage's model must not have the dtype policy mixed_float16; mixed_bfloat16 needs no scaled loss. "
                f"Received: dtype_policy={model.dtype_policy.name}"
            )


def variables(model: keras.Model, optimizers: Optimizers) -> list[keras.Variable]:
    """Returns all variables in a checkpoint: weights, statistics and random states, moments, averages and counters."""
    return [*model.variables, *(variable for optimizer in optimizers.values() for variable in optimizer.variables)]


def schedule(settings: Optimizer, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a linear warm-up from 0, then a cosine to `final_learning_rate_ratio` of the peak at the last step.

    If there are fewer steps than warm-up steps, training ends during the warm-up.
    """
    decay_steps = max(steps - settings.warmup_steps, 1)
    if settings.warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(
            settings.learning_rate, decay_steps, alpha=settings.final_learning_rate_ratio
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps,
        alpha=settings.final_learning_rate_ratio,
        warmup_target=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
    )


def decays(variable: keras.Variable) -> bool:
    """Returns whether weight decay applies to a variable: to matrices, but not to biases, scales and embeddings.

    The rank alone does not decide, because the biases of attention and recurrent layers are matrices too.
    """
    exempt = re.search("bias|gamma|beta|scale", variable.name) or "embedding" in variable.path
    return len(variable.shape) >= 2 and not exempt


def use_averages(optimizers: Optimizers) -> None:
    """Overwrites the weights with their averages, if there are any."""
    for optimizer in optimizers.values():
        optimizer.use_averages()


@contextlib.contextmanager
def averaged(model: keras.Model, optimizers: Optimizers) -> Iterator[None]:
    """Context manager within which the model has its averaged weights.

    At the end all variables of the model are restored bitwise, unlike with `keras.callbacks.SwapEMAWeights`, which
    swaps by adding and subtracting. So a validation that draws random numbers, or is repeated after a kill, does not
    affect the training.
    """
    variables = model.variables
    raw = [variable.numpy() for variable in variables]
    use_averages(optimizers)
    try:
        yield
    finally:
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)


def _part(model: keras.Model, name: str) -> keras.Layer:
    part = model if name == MODEL else getattr(model, name, None)
    if not isinstance(part, keras.Layer):
        raise ValueError(
            f"`optimizers` must be named `model` or after a part of the model. Received: optimizers.{name}, where "
            f"{type(model).__name__} has no layer of this name"
        )
    return part


Rate: TypeAlias = keras.optimizers.schedules.LearningRateSchedule | Callable[[], tf.Tensor]


def _rate(schedule: keras.optimizers.schedules.LearningRateSchedule, model: keras.Model) -> Rate:
    """Returns the `learning_rate` argument of an optimizer.

    Keras evaluates a schedule at the optimizer's number of updates, so an optimizer that skips some steps would never
    reach its end. A model with such optimizers counts all steps in a variable `step`. For such a model, the result is a
    function without arguments that evaluates the schedule at `step`; for other models, it is the schedule itself.
    """
    step = getattr(model, "step", None)
    return (lambda: schedule(step)) if isinstance(step, keras.Variable) else schedule


def _build(settings: Optimizer, training: Training, variables: list[keras.Variable], rate: Rate) -> Recording:
    """Returns one optimizer, built for its variables.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; scaled as in https://arxiv.org/abs/2502.16982)
    updates all matrices but embeddings and the last layer, which must be named `logits`; AdamW updates the rest.
    """
    common: dict[str, Any] = {
        "learning_rate": rate,
        "weight_decay": settings.weight_decay,
        "global_clipnorm": settings.clip_norm,
        "average_momentum": training.ema_momentum,
    }
    optimizer: Recording
    if settings.kind == "adamw":
        optimizer = AdamW(beta_1=settings.beta_1, beta_2=settings.beta_2, **common)
    else:
        optimizer = Muon(
            adam_beta_1=settings.beta_1,
            adam_beta_2=settings.beta_2,
            adam_weight_decay=settings.weight_decay,
            exclude_layers=["logits"],
            **common,
        )
    optimizer.exclude_from_weight_decay([variable for variable in variables if not decays(variable)])
    optimizer.build(variables)
    return optimizer

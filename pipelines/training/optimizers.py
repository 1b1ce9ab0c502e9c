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
    """Makes the optimizers of a stage, each built for its weights (see `recipe.sections.Optimizers`).

    Raises:
        ValueError: If the model has no part of an optimizer's name, or a weight is not moved, or moved twice.
    """
    parts = {name: _part(model, name).trainable_variables for name, _ in training.optimizers}
    moved = collections.Counter(id(variable) for variables in parts.values() for variable in variables)
    for variable in model.trainable_variables:
        if moved[id(variable)] != 1:
            raise ValueError(
                f"`optimizers` must move each trainable weight once. Received: optimizers={list(parts)}, of which "
                f"{moved[id(variable)]} move {variable.path!r}"
            )
    return {
        name: _build(settings, training, parts[name], _rate(schedule(settings, training.steps), model))
        for name, settings in training.optimizers
    }


def compile_model(
    model: keras.Model, optimizers: Optimizers, loss: keras.losses.Loss | None, jit_compile: bool
) -> None:
    """Compiles the model with its optimizers; without a loss, the model's own `compute_loss` counts.

    Raises:
        ValueError: If Keras puts another optimizer around one, as it does under `mixed_float16`: that one would keep
            state that no checkpoint holds, and hide the loss.
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
    """All that a checkpoint holds: weights, statistics and random states, moments, averages and counters."""
    return [*model.variables, *(variable for optimizer in optimizers.values() for variable in optimizer.variables)]


def schedule(settings: Optimizer, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up from 0, then a cosine to `final_learning_rate_ratio` of the peak at the last step.

    A run that is shorter than its warm-up ends within it.
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
    """Whether weight decay applies: to matrices, neither to biases and scales nor to embeddings.

    The name is looked at as well as the rank, as attention's and recurrent biases are matrices too.
    """
    exempt = re.search("bias|gamma|beta|scale", variable.name) or "embedding" in variable.path
    return len(variable.shape) >= 2 and not exempt


def use_averages(optimizers: Optimizers) -> None:
    """Overwrites the weights with their averages, where there are any."""
    for optimizer in optimizers.values():
        optimizer.use_averages()


@contextlib.contextmanager
def averaged(model: keras.Model, optimizers: Optimizers) -> Iterator[None]:
    """The model with its averaged weights, for as long as the context lasts.

    The raw weights come back bit by bit, unlike those of `keras.callbacks.SwapEMAWeights`, which swaps by adding and
    subtracting. So does everything else that the model keeps: a validation that draws random numbers, or is done
    twice after a kill, changes nothing of the training.
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
    """The schedule by the steps of the run, as an optimizer takes it.

    Keras asks a schedule by the optimizer's own updates. One that rests in some steps would never come to its end, so
    a model of such optimizers counts the steps in a variable `step`, and their rates go by this.
    """
    step = getattr(model, "step", None)
    return (lambda: schedule(step)) if isinstance(step, keras.Variable) else schedule


def _build(settings: Optimizer, training: Training, variables: list[keras.Variable], rate: Rate) -> Recording:
    """One optimizer, built for its variables.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; scaled as in
    https://arxiv.org/abs/2502.16982) takes matrices other than embeddings and the last layer, which must
    be called `logits`; AdamW takes the rest.
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

"""The sections that every recipe shares, as frozen, strictly typed pydantic models.

Numbers have no defaults here: they stand in the recipe, which is the only place to look for them. A task's
`Config(TaskConfig)` lists its sections as fields; the recipe's top-level keys `task`, `description` and `from` are
not among them, `ikelos.pipelines.recipe` takes them off first.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

import pydantic
from pydantic import Field

LARGEST = 2**31 - 1
"""Of all integers: the product of two of them, such as step and batch size, is counted in 64 bits."""

Positive = Annotated[int, Field(gt=0, le=LARGEST)]
NonNegative = Annotated[int, Field(ge=0, le=LARGEST)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]


class Section(pydantic.BaseModel):
    """A part of a recipe: frozen, no unknown keys, no conversions (`"12"` and `3.7` are no integers).

    A float may be written as an integer, and must be finite. Write sequences as tuples, so that the whole
    stays hashable. A rule that spans fields is a validator that raises
    `ValueError("what was expected. Received: ...")`.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Optimizer(Section):
    """How one optimizer moves its weights.

    Attributes:
        kind: AdamW, or Muon for matrices and AdamW for all other weights.
        learning_rate: The peak, reached after `warmup_steps` of linear growth.
        warmup_steps: 0 starts at the peak. May exceed the stage's steps (a short trial of a long recipe): the run then
            ends on the way up.
        final_learning_rate_ratio: Where the cosine ends, as a share of the peak.
        weight_decay: Decoupled; 0 disables.
        beta_1: Decay of the first moment (of Muon: for the weights that AdamW takes).
        beta_2: Decay of the second moment.
        clip_norm: Longest global gradient norm; a longer gradient is scaled down to it.
    """

    kind: Literal["adamw", "muon"]
    learning_rate: PositiveFloat
    warmup_steps: NonNegative
    final_learning_rate_ratio: Fraction
    weight_decay: NonNegativeFloat
    beta_1: BelowOne
    beta_2: BelowOne
    clip_norm: PositiveFloat


class Optimizers(Section):
    """The optimizers of a stage by name: each field is an `Optimizer`.

    `model` moves all weights. Any other name stands for a part of the model: the optimizer `generator` moves the
    weights of `model.generator`, and `model.compile` gets it as `generator_optimizer`.
    """


class OneOptimizer(Optimizers):
    """One optimizer for all weights.

    Attributes:
        model: It.
    """

    model: Optimizer


class AdversarialOptimizers(Optimizers):
    """An optimizer each for the networks of `ikelos.layers.AdversarialModel`.

    Attributes:
        generator: The generator's.
        discriminator: The discriminator's.
    """

    generator: Optimizer
    discriminator: Optimizer


class Training(Section):
    """How a stage is trained. A stage with several optimizers declares its own subclass of `optimizers`.

    Attributes:
        steps: Training steps of the whole run. A run that is continued may be given more: it goes on to them, with the
            learning rate that a schedule of all steps has from there on (see `training.fit.fit`).
        batch_size: Examples (or packed windows) in a step.
        seed: Of the initial weights, the order of the data and the dropout.
        steps_per_epoch: Steps between two validations; an epoch is only that.
        optimizers: One for each part of the model that has its own.
        ema_momentum: Of the moving average of the weights, which is what is evaluated and exported; 0 disables.
        early_stop_patience: Epochs without a better validation figure before the run stops; 0 disables.
        checkpoint_every: Steps between two checkpoints.
        deterministic: Bitwise repeatable, and slower.
        jit_compile: Compile the step with XLA.
        profile_steps: First and last step to profile for TensorBoard, or null.
    """

    FREE: ClassVar[tuple[str, ...]] = ("checkpoint_every", "profile_steps")
    """What may differ when a run is continued: the weights do not depend on it."""
    GROWING: ClassVar[tuple[str, ...]] = ("steps",)
    """What may be greater when a run is continued."""

    steps: Positive
    batch_size: Positive
    seed: NonNegative
    steps_per_epoch: Positive
    optimizers: Optimizers
    ema_momentum: BelowOne
    early_stop_patience: NonNegative
    checkpoint_every: Positive
    deterministic: bool
    jit_compile: bool
    profile_steps: tuple[Positive, Positive] | None

    @pydantic.model_validator(mode="after")
    def _steps_are_ordered(self) -> Self:
        if self.profile_steps is not None and self.profile_steps[0] > self.profile_steps[1]:
            raise ValueError(
                "`profile_steps` must be a first and a last step, in this order. "
                f"Received: profile_steps={list(self.profile_steps)}"
            )
        return self


class PlainTraining(Training):
    """How a stage with one optimizer is trained."""

    optimizers: OneOptimizer


class AdversarialTraining(Training):
    """How a generator is trained against a discriminator.

    `ema_momentum` must be 0: `ikelos.layers.AdversarialModel` averages its generator itself.
    """

    optimizers: AdversarialOptimizers

    @pydantic.model_validator(mode="after")
    def _the_model_averages(self) -> Self:
        if self.ema_momentum:
            raise ValueError(
                f"`ema_momentum` must be 0, as the model averages its generator itself. "
                f"Received: ema_momentum={self.ema_momentum}"
            )
        return self


class Peer(Section):
    """A figure to stand beside ours in the report: another model's.

    Attributes:
        name: What model it is, and what it was trained and measured on.
        value: Its figure of the task's first metric.
        minutes: What its training took, null if nobody knows.
    """

    name: str
    value: float
    minutes: PositiveFloat | None


class Evaluation(Section):
    """How the trained model is measured and shown.

    Attributes:
        peers: Other models' figures on the same data; null for those known of the data set, if any.
    """

    peers: tuple[Peer, ...] | None


class Export(Section):
    """What becomes of the trained model.

    Attributes:
        enabled: Whether a run ends with an export.
    """

    enabled: bool


def trainings(section: Section, prefix: str = "") -> Iterator[tuple[str, Training]]:
    """The training sections of a config, each with its dotted key."""
    for name, value in section:
        if isinstance(value, Training):
            yield f"{prefix}{name}", value
        elif isinstance(value, Section):
            yield from trainings(value, f"{prefix}{name}.")


class TaskConfig(Section):
    """What every task's `Config` has. All its other sections decide what the trained weights are."""

    TUNABLE: ClassVar[tuple[str, ...]] = ()
    """Dotted keys of the section `model` that may differ from those of the run whose weights a model begins with."""

    evaluation: Evaluation
    export: Export

"""The sections that every recipe shares, as frozen, strictly typed pydantic models.

Numbers have no defaults here: they stand in the recipe, which is the only place to look for them. A task's
`Config(Section)` lists its sections as fields; the recipe's top-level keys `task` and `description` are not
among them, `ikelos.pipelines.recipe` takes them off first.
"""

from typing import Annotated, ClassVar, Literal, Self

import pydantic
from pydantic import Field

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
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


class Training(Section):
    """How a stage is trained.

    Attributes:
        steps: Optimizer steps of the whole run.
        batch_size: Examples (or packed windows) in a step.
        seed: Of the initial weights, the order of the data and the dropout.
        steps_per_epoch: Steps between two validations; an epoch is only that.
        optimizer: `"adamw"` or `"muon"`.
        learning_rate: The peak, reached after `warmup_steps` of linear growth.
        warmup_steps: 0 starts at the peak. May exceed `steps` (a short trial of a long recipe): the run then
            ends on the way up.
        final_learning_rate_ratio: Where the cosine ends, as a share of the peak.
        weight_decay: Decoupled; 0 disables.
        beta_2: Decay of the second moment.
        clip_norm: Longest global gradient norm; a longer gradient is scaled down to it.
        ema_momentum: Of the moving average of the weights; 0 disables.
        early_stop_patience: Epochs without a better validation loss before the run stops; 0 disables.
        checkpoint_every: Steps between two checkpoints.
        deterministic: Bitwise repeatable, and slower.
        jit_compile: Compile the step with XLA.
        profile_steps: First and last step to profile for TensorBoard, or null.
    """

    FREE: ClassVar[tuple[str, ...]] = ("checkpoint_every", "profile_steps")
    """What may differ when a run is continued: the weights do not depend on it."""

    steps: Positive
    batch_size: Positive
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    steps_per_epoch: Positive
    optimizer: Literal["adamw", "muon"]
    learning_rate: PositiveFloat
    warmup_steps: NonNegative
    final_learning_rate_ratio: Fraction
    weight_decay: NonNegativeFloat
    beta_2: BelowOne
    clip_norm: PositiveFloat
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


class Export(Section):
    """What becomes of the trained model.

    Attributes:
        enabled: Whether a run ends with an export.
    """

    enabled: bool


class TaskConfig(Section):
    """What every task's `Config` has, and all that the runner knows of it."""

    training: Training
    export: Export

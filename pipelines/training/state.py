"""What a run knows besides its weights."""

import dataclasses

EMPTY_WINDOW: dict[str, float] = {
    "steps": 0,
    "seconds": 0.0,
    "loss": 0.0,
    "norm": 0.0,
    "norm_max": 0.0,
    "clipped_before": 0,
}


@dataclasses.dataclass
class State:
    """The part of a run that Python counts; it is saved in every checkpoint, so that a resumed run counts on.

    Attributes:
        step: Finished steps.
        epochs: Finished epochs: trained, validated and written down.
        finished: Whether nothing is left to train.
        seconds: Spent in training steps.
        epoch_loss: Sum of the losses of the epoch that is under way.
        window: Sums over the steps since the last line of the history.
        best_loss: The lowest validation loss, None before the first.
        best_step: The step it was measured at, None before the first and without early stopping.
        wait: Epochs since then.
    """

    step: int = 0
    epochs: int = 0
    finished: bool = False
    seconds: float = 0.0
    epoch_loss: float = 0.0
    window: dict[str, float] = dataclasses.field(default_factory=EMPTY_WINDOW.copy)
    best_loss: float | None = None
    best_step: int | None = None
    wait: int = 0

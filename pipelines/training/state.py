"""What a run knows besides its weights."""

import dataclasses

EMPTY_SUMS: dict[str, float] = {
    "updates": 0,
    "loss": 0.0,
    "norm": 0.0,
    "norm_max": 0.0,
    "clipped_before": 0,
    "updates_before": 0,
    "epoch_updates": 0,
    "epoch_loss": 0.0,
}


@dataclasses.dataclass
class State:
    """The part of a run that Python counts; it is saved in every checkpoint, so that a resumed run counts on.

    Attributes:
        step: Finished steps.
        epochs: Finished epochs: trained, validated and written down.
        validated: The step that the last finished epoch ended with.
        planned: Steps that the training is to take; a run that is continued may be given more.
        finished: Whether nothing is left to train.
        seconds: Spent in training steps.
        window_steps: Steps since the last line of the history.
        window_seconds: Spent in these.
        sums: Of each optimizer, by its name: sums over its updates in these steps, and in those of the epoch.
        best: The best validation figure, None before the first.
        best_step: The step it was measured at, None before the first and without early stopping.
        wait: Epochs since then.
        troubled: Epochs of trouble in a row.
    """

    step: int = 0
    epochs: int = 0
    validated: int = 0
    planned: int = 0
    finished: bool = False
    seconds: float = 0.0
    window_steps: int = 0
    window_seconds: float = 0.0
    sums: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    best: float | None = None
    best_step: int | None = None
    wait: int = 0
    troubled: int = 0

    def sums_of(self, name: str) -> dict[str, float]:
        """The sums of one optimizer."""
        return self.sums.setdefault(name, EMPTY_SUMS.copy())

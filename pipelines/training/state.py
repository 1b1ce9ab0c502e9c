"""The state of a training besides its variables."""

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
    """Counters of a training. Every checkpoint contains them, so that a resumed run continues them.

    Attributes:
        step: Number of finished steps.
        epochs: Number of finished epochs: trained, validated and recorded.
        validated: Last step of the last finished epoch.
        planned: Total number of training steps; a later run may raise it.
        finished: Whether the training is finished.
        seconds: Seconds spent in training steps.
        window_steps: Steps since the last step record of the history.
        window_seconds: Seconds spent in these steps.
        sums: For each optimizer, sums over its updates since the last step record, and over its updates in the epoch.
        best: Best validation figure, None before the first and without early stopping.
        best_step: Step of the best validation figure, None before the first and without early stopping.
        wait: Epochs since the best validation figure.
        troubled: Consecutive epochs of trouble.
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
        """Returns the sums of one optimizer, which may be modified."""
        return self.sums.setdefault(name, EMPTY_SUMS.copy())

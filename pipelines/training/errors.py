"""Exceptions that end a training early."""

import signal

from ikelos.pipelines.errors import UserError


class NotFinite(UserError):  # noqa: N818
    """A loss, a gradient or a weight is NaN or infinite."""


class Terminated(Exception):  # noqa: N818
    """A signal ended the training after a complete step, and a checkpoint was saved.

    Attributes:
        signal: The signal; the conventional exit status is `128 + signal`.
    """

    def __init__(self, number: signal.Signals, step: int, steps: int):
        self.signal = number
        super().__init__(
            f"Stopped by {number.name} at step {step:,} of {steps:,}; the same command continues from there."
        )

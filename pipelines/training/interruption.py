"""Deferred handling of SIGTERM and SIGINT, between two steps."""

import signal
import threading


class Interrupted(Exception):  # noqa: N818
    """Raised to tell the code that saves which signal came."""

    def __init__(self, number: signal.Signals):
        super().__init__(number.name)
        self.number = number


class Interruption:
    """Context manager in which the first SIGTERM or SIGINT is only recorded.

    The first signal also restores the previous handlers, so that a second one has its usual effect. Outside of the main
    thread, where Python cannot set handlers, signals are not caught.

    Attributes:
        signal: The signal that came, or None.
    """

    def __enter__(self) -> "Interruption":
        self.signal: signal.Signals | None = None
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def check(self) -> None:
        """Raises `Interrupted` if a signal came."""
        if self.signal is not None:
            raise Interrupted(self.signal)

    def _note(self, number, frame) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

"""SIGTERM and SIGINT, noticed between two steps."""

import signal
import threading


class Interrupted(Exception):  # noqa: N818
    """Unwinds to the code that saves, with the signal that came."""

    def __init__(self, number: signal.Signals):
        super().__init__(number.name)
        self.number = number


class Interruption:
    """While this context lasts, SIGTERM and SIGINT are noted down instead of acted upon.

    Only the first: it also puts the previous handlers back, so that a second one ends the process as
    ever. Outside of the main thread Python has no handlers, and signals go where they went.

    Attributes:
        signal: The one that came, or None.
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

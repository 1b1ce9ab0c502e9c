"""The text of a growing list of tokens, piece by piece."""

from collections.abc import Sequence

_REPLACEMENT = "\ufffd"


class TextStream:
    """Makes pieces of text from the text of all tokens so far.

    The end of a text may change when a token follows: a character whose bytes are cut between two tokens is U+FFFD
    until the last of them, and the beginning of a stop string may be one or not. So such an end is held back.

    Args:
        stop: Strings that end the text and do not belong to it.

    Attributes:
        stopped: Whether a stop string has come.

    Raises:
        ValueError: If a stop string is empty.
    """

    def __init__(self, stop: Sequence[str] = ()):
        if isinstance(stop, str) or not all(isinstance(text, str) and text for text in stop):
            raise ValueError(f"`stop` must be a list of strings that are not empty. Received: stop={stop!r}")
        self._stop = tuple(stop)
        self._given = ""
        self.stopped = False

    def push(self, text: str, ended: bool = False) -> str:
        """Returns the next piece of the text, which may be empty.

        Args:
            text: The text of all tokens so far.
            ended: Whether this is the whole text, so that nothing is held back.

        Raises:
            ValueError: If `text` does not continue what was returned before.
        """
        if not text.startswith(self._given):
            raise ValueError(
                f"The text of more tokens must begin with the text of fewer. Received: {text!r} after {self._given!r}"
            )
        certain = text if ended else text.rstrip(_REPLACEMENT)
        # The stop string that is complete first: the result must not depend on where tokens begin.
        found = [(start + len(stop), start) for stop in self._stop if (start := certain.find(stop)) >= 0]
        if found:
            self.stopped = True
            end = min(found)[1]
        else:
            end = len(certain) if ended else self._before_stop(certain)
        piece, self._given = text[len(self._given) : end], text[:end]
        return piece

    def _before_stop(self, text: str) -> int:
        """Returns where a stop string may begin at the end of a text, or its length."""
        longest = max(map(len, self._stop), default=1) - 1
        for start in range(max(0, len(text) - longest), len(text)):
            if any(stop.startswith(text[start:]) for stop in self._stop):
                return start
        return len(text)

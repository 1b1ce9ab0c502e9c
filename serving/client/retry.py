"""When a failed call is tried again."""

import dataclasses
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ikelos.serving.client.errors import DeadlineExceeded, ServingError

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Retry:
    """Exponential backoff with full jitter: before try n + 1 a random wait of up to `first * 2**(n - 1)` seconds.

    Only calls that the server could not answer are tried again: gRPC's UNAVAILABLE, RESOURCE_EXHAUSTED if the server
    says when to try again, HTTP's 429 and 503, and broken or refused connections. A prediction changes nothing on the
    server, so a second try is harmless. If the server says when to try again, this replaces the wait.
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Attributes:
        tries: Most tries of a call, at least 1.
        first: Longest wait before the second try, in seconds.
        longest: Longest wait before any try, in seconds.

    Raises:
        ValueError: If an attribute is out of range.
    """

    tries: int = 5
    first: float = 0.1
    longest: float = 5.0

    def __post_init__(self):
        if self.tries < 1:
            raise ValueError(f"`tries` must be at least 1. Received: tries={self.tries}")
        if not 0 <= self.first <= self.longest:
            raise ValueError(
                f"`first` must be from 0 to `longest`. Received: first={self.first}, longest={self.longest}"
            )

    def wait(self, failed: int, asked: float | None = None) -> float:
        """Returns the seconds to wait after `failed` tries, if the server `asked` for so many or None."""
        return random.uniform(0, min(self.longest, self.first * 2 ** (failed - 1))) if asked is None else asked


async def with_retries(
    call: Callable[[float], Awaitable[Result]],
    timeout: float,
    retry: Retry,
    sleep: Callable[[float], Awaitable[None]],
) -> Result:
    """Returns the result of a call, which is tried again if it fails for a reason that may pass.

    Args:
        call: Function of the seconds that the try may take.
        timeout: Seconds for all tries and the waits between them.
        retry: How often, and after what wait.
        sleep: Waits for a number of seconds.

    Raises:
        ServingError: The error of the last try; `DeadlineExceeded` if there is no time for another.
    """
    end = time.monotonic() + timeout
    failed = 0
    while True:
        try:
            return await call(max(end - time.monotonic(), 0.0))
        except ServingError as error:
            failed += 1
            if not error.retryable or failed == retry.tries:
                raise
            wait = retry.wait(failed, error.retry_after)
            if time.monotonic() + wait >= end:
                raise DeadlineExceeded(
                    f"No answer within {timeout:.3g} s, after {failed} tries. The last error: {error}",
                    "DEADLINE_EXCEEDED",
                ) from error
            await sleep(wait)

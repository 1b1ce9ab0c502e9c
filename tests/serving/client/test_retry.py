import random

import pytest

from ikelos.serving.client.core import run
from ikelos.serving.client.errors import DeadlineExceeded, InvalidArgument, Unavailable, error_of
from ikelos.serving.client.retry import Retry, with_retries


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self, monkeypatch):
        self.now, self.waits = 100.0, []
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def _failing(*errors):
    """Returns a call that fails with each of the errors and then returns the seconds that it may take."""
    errors = list(errors)

    async def call(seconds):
        if errors:
            raise errors.pop(0)
        return seconds

    return call


def _busy(after=None):
    return error_of("UNAVAILABLE", "busy", retryable=True, retry_after=after)


def test_waits_are_random_and_grow(clock, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high if low == 0 else None)
    retry = Retry(tries=6, first=0.5, longest=3)
    left = run(with_retries(_failing(*[_busy()] * 5), 60, retry, clock.sleep))
    assert clock.waits == [0.5, 1, 2, 3, 3]
    assert left == 60 - sum(clock.waits)


def test_waits_cover_the_whole_range():
    random.seed(1)
    waits = [Retry(first=1.0).wait(1) for _ in range(1000)]
    assert 0 <= min(waits) < 0.05
    assert 0.95 < max(waits) <= 1


def test_the_server_says_how_long_to_wait(clock):
    run(with_retries(_failing(_busy(7.0), _busy(0.0)), 60, Retry(), clock.sleep))
    assert clock.waits == [7, 0]


def test_other_errors_are_not_tried_again(clock):
    with pytest.raises(InvalidArgument, match="wrong"):
        run(with_retries(_failing(error_of("INVALID_ARGUMENT", "wrong")), 60, Retry(), clock.sleep))
    assert clock.waits == []


def test_the_error_of_the_last_try_is_raised(clock):
    errors = [_busy(), error_of("UNAVAILABLE", "still busy", retryable=True)]
    with pytest.raises(Unavailable, match="still busy"):
        run(with_retries(_failing(*errors), 60, Retry(tries=2), clock.sleep))


def test_no_try_begins_after_the_end(clock):
    with pytest.raises(DeadlineExceeded, match=r"within 5 s, after 2 tries. The last error: busy") as raised:
        run(with_retries(_failing(_busy(4.0), _busy(1.0)), 5, Retry(), clock.sleep))
    assert clock.waits == [4]
    assert isinstance(raised.value.__cause__, Unavailable)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tries": 0}, "`tries` must be at least 1. Received: tries=0"),
        ({"first": -1.0}, "`first` must be from 0 to `longest`"),
        ({"first": 9.0}, "`first` must be from 0 to `longest`. Received: first=9.0, longest=5.0"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Retry(**options)


def test_a_coroutine_that_suspends_is_refused():
    import asyncio

    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="must not suspend"):
        run(coroutine)
    coroutine.close()

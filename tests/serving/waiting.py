"""Waits that end: where a condition never holds, the test fails instead of hanging.

The limit is far beyond what a busy machine needs, since no test passes sooner by a short one.
"""

import asyncio
import time

SECONDS = 120


def until(condition):
    """Waits until a condition holds."""
    for _ in _looks(condition):
        time.sleep(0.01)


async def until_async(condition):
    """Waits until a condition holds, and lets other tasks run meanwhile."""
    for _ in _looks(condition):
        await asyncio.sleep(0.01)


def _looks(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"the condition does not hold after {SECONDS} s"
        yield

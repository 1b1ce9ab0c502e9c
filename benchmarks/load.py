"""Load on a service: clients that wait for their answers, and requests that arrive whether it has time or not."""

import asyncio
import dataclasses
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

Call = Callable[[], Awaitable[object]]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a load has shown.

    Attributes:
        per_second: Answers per second.
        latencies: Seconds between each question and its answer.
        processor: Share of one core that the clients' process, which this is, has used.
    """

    per_second: float
    latencies: Sequence[float]
    processor: float

    def row(self) -> dict[str, float]:
        """Returns rate, percentiles of the latency in milliseconds, and the clients' share of one core."""
        p50, p95, p99 = 1e3 * np.percentile(self.latencies, [50, 95, 99])
        figures = {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "clients_processor": self.processor}
        return {"per_second": self.per_second, **{name: float(x) for name, x in figures.items()}}


async def closed(calls: Sequence[Call], seconds: float) -> Measured:
    """Measures a closed loop: one client for each call, which asks again as soon as it has its answer."""
    start, busy = time.perf_counter(), _processor_seconds()

    async def client(call):
        before, latencies = time.perf_counter(), []
        while before < start + seconds or not latencies:
            await call()
            after = time.perf_counter()
            latencies.append(after - before)
            before = after
        return latencies

    found = await asyncio.gather(*map(client, calls))
    return _measured([latency for latencies in found for latency in latencies], start, busy)


async def opened(calls: Sequence[Call], rate: float, seconds: float, seed: int = 0) -> Measured:
    """Measures an open loop: requests arrive at random (a Poisson process) and don't wait for earlier ones.

    The latency counts from the moment at which a request should have been sent. So a service that cannot keep up shows
    it, and so does a client that is late.

    Args:
        calls: Calls, which take turns.
        rate: Mean number of requests per second.
        seconds: Seconds in which requests arrive; at least one does.
        seed: Seed of the arrivals.
    """
    draw, start, busy = random.Random(seed), time.perf_counter(), _processor_seconds()

    async def request(call, due):
        await call()
        return time.perf_counter() - due

    due, tasks = start, []
    while not tasks or due < start + seconds:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(request(calls[len(tasks) % len(calls)], due)))
        due += draw.expovariate(rate)
    return _measured(await asyncio.gather(*tasks), start, busy)


def _measured(latencies, start, busy):
    duration = time.perf_counter() - start
    return Measured(len(latencies) / duration, latencies, (_processor_seconds() - busy) / duration)


def _processor_seconds():
    times = os.times()
    return times.user + times.system

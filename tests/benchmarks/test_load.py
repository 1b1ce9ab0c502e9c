import asyncio
import random

import pytest


@pytest.fixture
def load(load):
    return load("load")


class Service:
    """Answers after two turns of the event loop, and notes how many requests were inside at once."""

    def __init__(self):
        self.inside = self.most = self.answered = 0

    async def __call__(self):
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.inside -= 1
        self.answered += 1


def test_clients_of_a_closed_loop_wait_for_their_answers(load):
    service = Service()
    measured = asyncio.run(load.closed([service] * 3, 0.02))
    assert service.most == 3
    assert len(measured.latencies) == service.answered > 3
    assert measured.per_second > 0


def test_arrivals_of_an_open_loop_are_a_poisson_process(load):
    service = Service()
    measured = asyncio.run(load.opened([service], 2000, 0.05, seed=3))
    draw, due, arrivals = random.Random(3), 0.0, 0
    while due < 0.05:
        due, arrivals = due + draw.expovariate(2000), arrivals + 1
    assert len(measured.latencies) == service.answered == arrivals


def test_requests_of_an_open_loop_do_not_wait_for_earlier_ones(load):
    async def run():
        go_on, inside = asyncio.Event(), []

        async def call():
            inside.append(1)
            if len(inside) == 3:
                go_on.set()
            await go_on.wait()

        return await load.opened([call], 1000, 0.05)

    assert len(asyncio.run(asyncio.wait_for(run(), 60)).latencies) >= 3


def test_an_error_ends_a_load(load):
    async def call():
        raise ZeroDivisionError

    for its in (load.closed([call], 0.0), load.opened([call], 1.0, 0.0)):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(its)


def test_percentiles_are_in_milliseconds(load):
    row = load.Measured(10.0, [0.001 * n for n in range(101)], 0.5).row()
    assert row == {
        **{"per_second": 10.0, "p50_ms": pytest.approx(50), "p95_ms": pytest.approx(95), "p99_ms": pytest.approx(99)},
        "clients_processor": 0.5,
    }

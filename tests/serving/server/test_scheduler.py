import asyncio
import threading
import time
import types

import numpy as np
import pytest
from tests.serving.waiting import until_async

from ikelos.serving.server.scheduler import Scheduler, is_mergeable
from ikelos.serving.server.versions import State, Version
from ikelos.serving.stock import StockError, StockModel


@pytest.fixture(scope="module")
def loaded(plain):
    version = Version("plain", 123, plain)
    version.load()
    version.state = State.AVAILABLE
    yield version
    version.free()


@pytest.fixture(scope="module")
def words(version):
    with StockModel(version) as model:
        yield model


def answers(version, requests, **options):
    """Returns the outputs or errors of requests that come at the same time, and the rows of the runs."""
    runs = []

    async def run():
        given = {"concurrency": 1, "max_batch": 8, "delay": 0.2} | options
        scheduler = Scheduler(**given, observe=lambda version, signature, rows: runs.append((signature, rows)))
        found = await asyncio.gather(
            *(
                scheduler.run(version, signature, version.model.check(signature, inputs), time.monotonic() + 60)
                for signature, inputs in requests
            ),
            return_exceptions=True,
        )
        await scheduler.close()
        return found

    return asyncio.run(run()), runs


def checked(text, *numbers):
    return "checked", {"text": [f"{text}{number}" for number in numbers], "n": list(numbers)}


def test_requests_that_fit_together_are_one_run(loaded):
    found, runs = answers(loaded, [checked("é", 1, 2), checked("", 3), checked("c", 4, 5, 6)])
    assert runs == [("checked", 6)]
    assert [answer["text"].tolist() for answer in found] == [
        ["é11".encode(), "é22".encode()],
        [b"33"],
        [b"c44", b"c55", b"c66"],
    ]
    assert [answer["rows"].tolist() for answer in found] == [[6, 6], [6], [6, 6, 6]]


def test_merged_answers_are_those_of_single_requests(loaded):
    rng = np.random.default_rng(0)
    requests = [("serving_default", {"x": rng.normal(size=rows).astype(np.float32)}) for rows in (1, 3, 2, 1, 4, 1)]
    merged, runs = answers(loaded, requests)
    single, _ = answers(loaded, requests, max_batch=1, delay=0)
    assert [rows for _, rows in runs] == [7, 5]  # at most 8 rows
    for one, other in zip(merged, single, strict=True):
        np.testing.assert_array_equal(one["y"], other["y"])


def test_a_wrong_request_does_not_fail_the_others(loaded):
    found, runs = answers(loaded, [checked("a", 1), checked("b", -1), checked("c", 2)])
    assert runs == [("checked", 3)]
    assert found[0]["text"].tolist() == [b"a11"]
    assert isinstance(found[1], StockError)
    assert (found[1].code, "n must be in [0, 9]" in str(found[1])) == (3, True)
    assert found[2]["text"].tolist() == [b"c22"]


def test_requests_of_other_signatures_or_too_many_rows_stay_apart(loaded):
    half = ("serving_default", {"x": [1.0]})
    many = ("serving_default", {"x": [1.0] * 9})
    _, runs = answers(loaded, [half, checked("a", 1), many, half])
    assert sorted(runs) == [("checked", 1), ("serving_default", 2), ("serving_default", 9)]


def test_nothing_is_merged_by_default(loaded):
    _, runs = answers(loaded, [checked("a", 1), checked("b", 2)], max_batch=1, delay=0)
    assert runs == [("checked", 1), ("checked", 1)]


def test_requests_that_wait_for_a_thread_are_merged_without_a_delay(loaded):
    busy = ("slow", {"steps": [20_000]})
    _, runs = answers(loaded, [busy, checked("a", 1), checked("b", 2)], delay=0)
    assert runs == [("slow", 1), ("checked", 2)]


def test_outputs_as_long_as_the_longest_row_forbid_merging(words, loaded):
    assert is_mergeable(words, "serving_default")
    assert is_mergeable(words, "shout")
    assert not is_mergeable(words, "tokens")
    assert is_mergeable(loaded.model, "copy")


def test_a_deadline_cancels_the_run(loaded):
    async def run():
        scheduler = Scheduler(1, 1, 0, lambda *run: None)
        inputs = loaded.model.check("slow", {"steps": [2**31 - 1]})
        with pytest.raises(StockError) as raised:
            await scheduler.run(loaded, "slow", inputs, time.monotonic() + 0.2)
        assert raised.value.code == 4
        await scheduler.close()

    asyncio.run(run())
    assert not loaded.in_use


def test_a_request_that_is_given_up_does_not_run(loaded, monkeypatch):
    runs, end = [], threading.Event()
    answer = loaded.model.run

    def held(*arguments):
        assert end.wait(60)
        return answer(*arguments)

    def ask(scheduler, signature, inputs):
        inputs = loaded.model.check(signature, inputs)
        return asyncio.create_task(scheduler.run(loaded, signature, inputs, time.monotonic() + 60))

    async def run():
        scheduler = Scheduler(1, 1, 0, lambda version, signature, rows: runs.append(signature))
        first = ask(scheduler, "serving_default", {"x": [1.0]})
        await until_async(lambda: runs == ["serving_default"])
        given_up = ask(scheduler, *checked("a", 1))
        await until_async(lambda: len(scheduler._tasks) == 2)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        end.set()
        assert (await first)["y"].tolist() == [3.5]
        await scheduler.close()

    monkeypatch.setattr(loaded.model, "run", held)
    asyncio.run(run())
    assert runs == ["serving_default"]
    assert not loaded.in_use


def test_requests_that_cannot_be_merged_run_one_by_one(loaded, monkeypatch):
    def too_large(arrays):
        raise MemoryError

    monkeypatch.setattr("ikelos.serving.server.scheduler.np", types.SimpleNamespace(concatenate=too_large))
    found, _ = answers(loaded, [checked("a", 1), checked("b", 2)])
    assert [answer["text"].tolist() for answer in found] == [[b"a11"], [b"b22"]]


def test_an_error_outside_the_model_reaches_every_request(loaded, monkeypatch):
    def broken(*_):
        raise RuntimeError("no more threads")

    monkeypatch.setattr("ikelos.serving.server.scheduler._answer", broken)
    found, _ = answers(loaded, [checked("a", 1), checked("b", 2)])
    assert [str(error) for error in found] == ["no more threads"] * 2

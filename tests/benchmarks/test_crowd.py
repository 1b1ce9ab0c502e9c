import collections
import json
import os
import pathlib
import threading
import time

import pytest


@pytest.fixture
def crowd(load):
    return load("crowd")


@pytest.mark.slow
def test_every_condition(run_here, tmp_path):
    printed = run_here("crowd", "--smoke", "--json", tmp_path / "rows", "--plot", tmp_path / "plot.png")
    rows = json.loads((tmp_path / "rows").read_text())
    # PyTorch is no dependency: it is there or not.
    assert {row["contender"] for row in rows} - {"PyTorch"} == {"Ikelos", "Keras"}
    conditions = collections.defaultdict(list)
    for row in rows:
        assert list(row) == [
            *("case", "contender", "clients", "neighbours"),
            *("per_second", "p50_ms", "p99_ms", "ratio"),
        ]
        assert row["per_second"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        if row["contender"] == "Keras":
            conditions[row["case"]].append((row["clients"], row["neighbours"]))
    assert conditions == {
        "attention forward T=8 S=8 B=1": [(1, 0), (4, 0), (16, 0), (1, 1)],
        "LSTM forward+backward T=4 U=8 B=1": [(1, 0), (1, 1)],
    }
    assert "  16 clients " in printed
    assert "  1 client, busy neighbour " in printed
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_neighbour_spins_on_one_core(crowd):
    def children():
        return [
            int(pid)
            for pid in pathlib.Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        ]

    before = children()
    with crowd.neighbours(1):
        (child,) = set(children()) - set(before)
        assert os.sched_getaffinity(child) == {min(os.sched_getaffinity(0))}
        time.sleep(0.05)
        assert pathlib.Path(f"/proc/{child}/stat").read_text().split()[2] == "R"
    assert child not in children()


def test_rates_ratios_and_percentiles(crowd):
    case = crowd.case("LSTM forward", crowd.recurrent.arguments("lstm", 1, 4, 8, backward=True))
    names = ("Ikelos", "PyTorch", "Keras")
    measured = {(name, condition): [(1.0, [1.0])] * 3 for name in names for condition in crowd.TRAINING}
    measured["Ikelos", crowd.QUIET] = [(100.0, [0.01] * 98), (50.0, [0.01]), (200.0, [0.02])]
    measured["Ikelos", crowd.BUSY] = [(60.0, [0.02]), (50.0, [0.02]), (40.0, [0.02])]
    quiet, _, _, busy, *_ = crowd.make_rows(case, measured)
    assert quiet == {
        **{"case": "LSTM forward+backward T=4 U=8 B=1", "contender": "Ikelos", "clients": 1, "neighbours": 0},
        **{"per_second": 100.0, "p50_ms": 10.0, "p99_ms": pytest.approx(10.1), "ratio": 1.0},
    }
    # The rounds' ratios are 0.6, 1 and 0.2; the ratio of the medians would be 0.5.
    assert (busy["per_second"], busy["ratio"]) == (50.0, pytest.approx(0.6))


def test_goals(crowd):
    def row(contender, clients, neighbours, ratio):
        return {"contender": contender, "clients": clients, "neighbours": neighbours, "ratio": ratio}

    rows = [row("Ikelos", 16, 0, 0.9), row("PyTorch", 16, 0, 2.0), row("Ikelos", 1, 1, 0.5), row("PyTorch", 1, 1, 0.4)]
    assert [crowd.verdict(each, rows) for each in rows] == [">= 1.00  MISSED", "", ">= 0.40  met", ""]
    assert crowd.verdict(rows[2], rows[:3]) == ""


def test_a_crowd_calls_at_once(load):
    workers, lock, inside, most = load("workers"), threading.Lock(), [0], [0]
    calls = []

    def call():
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        calls.append(threading.get_ident())
        with lock:
            inside[0] -= 1

    rate, latencies = workers._crowded(call, 3, 0.02)
    assert most[0] == len(set(calls)) == 3
    assert threading.get_ident() in calls
    # The first call of each client is not measured.
    assert len(latencies) == len(calls) - 3
    assert all(latency >= 0.002 for latency in latencies)
    assert 0 < rate <= 3 / 0.002
    with pytest.raises(ZeroDivisionError):
        workers._crowded(lambda: 1 / 0, 2, 0.0)

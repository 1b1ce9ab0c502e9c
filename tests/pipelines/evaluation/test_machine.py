import json

import numpy as np
import psutil

from ikelos.pipelines.evaluation import machine


def test_describes_this_machine():
    description = machine.describe()
    assert json.loads(json.dumps(description)) == description
    assert description["cpu"]
    assert 1 <= description["cores"] <= psutil.cpu_count()
    assert description["memory_bytes"] == psutil.virtual_memory().total
    # No processor of the last thirty years is slower than the first, no machine faster than the second.
    assert 0.1 < description["sgemm_gflops"] < 1e6


def test_rate_counts_two_operations_per_product(monkeypatch):
    ticks = iter(np.arange(100) * 0.25)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))
    assert machine.sgemm_gflops.__wrapped__() == 2 * 2048**3 / 0.25 / 1e9


def test_peak_memory_grows_with_what_is_held():
    before = machine.peak_memory_bytes()
    # Fills the memory up to the old peak, and 64 MiB more.
    held = np.ones(max(before - psutil.Process().memory_info().rss, 0) + 2**26, np.uint8)
    assert machine.peak_memory_bytes() >= before + 2**25
    assert held.all()

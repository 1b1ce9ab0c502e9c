"""The machinery, with contenders that need no framework and are right, wrong or fail."""

import json
import random
import re

import pytest

SCRIPT = """
import compare, numpy as np
from workers import Contender

def contender(compute):
    def prepare(case):
        x = np.arange(1.0, case["size"])
        call = lambda: [compute(x)]
        return call, call
    return Contender(prepare, "numpy")

def slow(x):
    for _ in range(100):
        y = x * x
    return y

def dies(x):
    import os
    print("the last words", flush=True)
    os._exit(3)

CONTENDERS = {
    compare.OURS: contender(lambda x: x * x),
    "right": contender(slow),
    "chatty": contender(lambda x: [print("chatter"), x * x][1]),
    "wrong": contender(lambda x: x * x * 1.001),
    "nan": contender(lambda x: np.where(x == 5, np.nan, x * x)),
    "short": contender(lambda x: (x * x)[1:]),
    "raises": contender(lambda x: 1 / 0),
    "dies": contender(dies),
    "late": contender(lambda x: x * x if len(x) < 1000 else 1 / 0),
    "absent": Contender(None, "torch"),
}

def cases(effort):
    peers = {name: None for name in CONTENDERS if name != compare.OURS}
    peers |= {"right": compare.Goal(1.0), "chatty": compare.Goal(most=1e-9), compare.SGEMM: None}
    return [compare.Case(name, {"size": size}, peers, flops=size, left_out="the largest" if size > 100 else "")
            for name, size in (("small", 100), ("large", 10000))]

compare.main(__doc__, CONTENDERS, cases, __file__)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_rows_table_and_picture(run, script, tmp_path):
    finished = run(
        script, "--smoke", "--peers", "right|chatty|sgemm", "--json", tmp_path / "rows", "--plot", tmp_path / "plot.png"
    )
    rows = json.loads((tmp_path / "rows").read_text())
    assert [(row["case"], row["peer"]) for row in rows] == [
        (case, peer) for case in ("small", "large") for peer in ("right", "chatty", "sgemm")
    ]
    for row in rows:
        assert list(row) == ["case", "ours_ms", "peer", "peer_ms", "ratio"]
        # One round: the ratio of the medians is the median of the ratios.
        assert row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"])
    assert re.search(r"small .* right .* >= 1  met", finished.stdout)
    assert re.search(r" chatty .* <= 1e-09  MISSED", finished.stdout)
    assert "Not run: absent " in finished.stdout
    assert re.findall("left out: (.*)", finished.stdout) == ["the largest"]
    assert re.search(r"sgemm 2048\^3: \d+ GFLOP/s on 2 threads", finished.stdout)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_medians_of_the_rounds(load):
    compare = load("compare")
    peers = {"peer": None, compare.SGEMM: None}
    case = compare.Case("case", {}, peers, flops=2048**3)  # half of sgemm's
    # The second round was disturbed, for ours; the third for the peer.
    times = {compare.OURS: [1.0, 4.0, 1.5], "peer": [2.0, 2.0, 9.0], compare.SGEMM: [1.0, 8.0, 0.5]}
    assert compare.make_rows(case, times) == [
        {"case": "case", "ours_ms": 1500.0, "peer": "peer", "peer_ms": 2000.0, "ratio": 2.0},
        {"case": "case", "ours_ms": 1500.0, "peer": "sgemm", "peer_ms": 500.0, "ratio": 0.5},
    ]


def test_chooses_cases(run, script, tmp_path):
    run(script, "--smoke", "--cases", "lar", "--peers", "right", "--json", tmp_path / "rows")
    assert [row["case"] for row in json.loads((tmp_path / "rows").read_text())] == ["large"]
    finished = run(script, "--smoke", "--cases", "middle", check=False)
    assert finished.returncode != 0
    assert "Received: --cases 'middle'" in finished.stderr
    finished = run(script, "--smoke", "--cases", "lar", "--peers", "nobody", check=False)
    assert finished.returncode != 0
    assert "Received: --cases 'lar' --peers 'nobody'" in finished.stderr
    finished = run(script, "--smoke", "--torch-python", tmp_path / "none", check=False)
    assert finished.returncode != 0
    assert f"Received: --torch-python {tmp_path / 'none'}" in finished.stderr


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ("wrong", "small: result 0 of wrong differs from that of Ikelos by 1.0e-03"),
        ("nan", "small: result 0 of nan differs from that of Ikelos by nan"),
        ("short", r"small: result 0 of short has shape \(98,\), but that of Ikelos \(99,\)"),
        ("raises", "raises failed in .*ZeroDivisionError"),
        ("dies", "dies ended with status 3 in .*the last words"),
    ],
)
def test_a_bad_contender_is_not_timed(run, script, tmp_path, peer, message):
    finished = run(script, "--smoke", "--peers", peer, "--json", tmp_path / "rows", check=False)
    assert finished.returncode != 0
    assert re.search(message, finished.stderr, re.DOTALL), finished.stderr
    assert not (tmp_path / "rows").exists()


def test_rows_before_a_failure_are_kept(run, script, tmp_path):
    finished = run(script, "--smoke", "--peers", "late", "--json", tmp_path / "rows", check=False)
    assert finished.returncode != 0
    assert "late failed in" in finished.stderr
    assert [row["case"] for row in json.loads((tmp_path / "rows").read_text())] == ["small"]


def test_the_fastest_product_counts(load):
    compare = load("compare")

    class Worker:
        """Takes one second a call, and as long as it is told for a product."""

        def __init__(self, seconds):
            self.sgemm_seconds = iter(seconds).__next__

        def prepare(self, _):
            return []

        def seconds(self):
            return 1.0

        def release(self):
            pass

    ours, peer = Worker([3.0, 5.0]), Worker([4.0, 2.0])
    case = compare.Case("case", {}, {"peer": None, compare.SGEMM: None}, flops=1)
    times = compare.measure(case, {compare.OURS: ours, "peer": peer}, [ours, peer], 0.0, 2, random.Random(0))
    assert times == {compare.OURS: [1.0, 1.0], "peer": [1.0, 1.0], compare.SGEMM: [3.0, 2.0]}

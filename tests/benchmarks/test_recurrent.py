import json

import pytest


@pytest.fixture
def recurrent(load):
    return load("recurrent")


@pytest.mark.slow
def test_every_kind_of_case(run_here, tmp_path):
    printed = run_here("recurrent", "--smoke", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    # PyTorch is no dependency: it is there or not.
    peers = {"Keras", "Keras under XLA", "Ikelos under XLA", "sgemm"}
    assert {row["peer"] for row in rows} - {"PyTorch"} == peers
    kinds = ("forward+backward T=6", "reset before", "lengths", "streaming", "3 in a row", "bfloat16", " float16")
    for kind in kinds:
        assert [row for row in rows if kind in row["case"]], kind
    assert {row["case"].partition(" ")[0] for row in rows} == {"LSTM", "GRU"}
    assert all(row["ours_ms"] > 0 and row["peer_ms"] > 0 and row["ratio"] > 0 for row in rows)
    assert "keras 3" in printed


def test_useful_flops(recurrent):
    # A step of LSTM with 2 units and features: 8 gates, each from 4 numbers with as many products and sums.
    one = recurrent.arguments("lstm", 3, 5, 2)
    assert recurrent.useful_flops(one) == 3 * 5 * 8 * 4 * 2
    assert recurrent.useful_flops({**one, "backward": True, "repeat": 4}) == 3 * 4 * 3 * 5 * 8 * 4 * 2
    assert recurrent.useful_flops(recurrent.arguments("gru", 3, 5, 2)) == 3 * 5 * 6 * 4 * 2
    some = recurrent.arguments("lstm", 3, 5, 2, lengths=True)
    assert recurrent.useful_flops(some) == sum(recurrent.inputs(some)["lengths"]) * 8 * 4 * 2


def test_cases_have_their_goals(recurrent):
    cases = recurrent.cases("quick")
    held = [case.name for case in cases if case.peers["PyTorch"]]
    # Each size and random lengths, forward and forward+backward, of both cells.
    assert len(held) == len(recurrent.GOALS) + 4
    for case in cases:
        # Against the better of the two.
        assert case.peers["Keras"] == case.peers["Keras under XLA"]

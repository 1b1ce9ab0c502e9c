import json

import pytest


@pytest.mark.slow
def test_every_kind_of_case(run_here, tmp_path):
    printed = run_here("attention", "--smoke", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    # PyTorch is no dependency: it is there or not.
    peers = {"Keras", "Keras under XLA", "Ikelos under XLA", "sgemm"}
    assert {row["peer"] for row in rows} - {"PyTorch"} == peers
    kinds = ("causal T=S=40", "lengths", "64 in a row", "one call", "bfloat16", " float16")
    for kind in kinds:
        assert [row for row in rows if kind in row["case"]], kind
    assert all(row["ours_ms"] > 0 and row["peer_ms"] > 0 and row["ratio"] > 0 for row in rows)
    assert "keras 3" in printed

import json

import pytest


@pytest.mark.slow
def test_every_contender_under_every_load(run_here, tmp_path):
    printed = run_here("serving", "--smoke", "--peers", "native", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    clients = {"1 client", "4 clients", "16 clients"}
    shares = {"arrivals at 50%", "arrivals at 80%"}
    loads = {
        **dict.fromkeys(("portable, no server", "native, no server"), clients),
        **dict.fromkeys(("gRPC", "REST", "gRPC, batched", "REST, batched"), clients | shares),
    }
    for case in ("score 3 tokens", "generate 4 tokens"):
        found = {}
        for row in rows:
            if row["case"] == case:
                found.setdefault(row["contender"], set()).add(row["load"])
                assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
                assert row["per_second"] > 0
        assert found == loads
    assert "REST, batched        16 clients " in printed


def test_a_server_that_does_not_start_says_why(load, tmp_path):
    with (
        pytest.raises(RuntimeError, match=r"(?s)ended with status 2.*PATH must hold a model"),
        load("serving").serving(tmp_path, 2),
    ):
        pass

import json

import pytest


@pytest.mark.slow
def test_ours_and_keras(run_here, load, monkeypatch, tmp_path):
    memory = load("memory")
    measure = memory.measure

    def ours_in_a_fresh_process(name, case, python, threads):
        return measure(name, case, python, threads) if name == "Ikelos" else memory.extra_bytes(name, case)

    monkeypatch.setattr(memory, "measure", ours_in_a_fresh_process)
    printed = run_here("memory", "--smoke", "--json", tmp_path / "rows", "--plot", tmp_path / "plot.png")
    rows = json.loads((tmp_path / "rows").read_text())
    assert {"one B*N*T*S array", "Keras"} <= {row["peer"] for row in rows}
    for row in rows:
        assert list(row) == ["case", "ours_bytes", "peer", "peer_bytes", "ratio"]
        # Noise of the allocators and of tracing: some megabytes.
        assert abs(row["ours_bytes"]) < 50e6
    assert rows[0]["peer_bytes"] == 4 * 8 * 64 * 64
    assert "forward+backward T=S=64" in printed
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")

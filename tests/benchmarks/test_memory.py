import json


def test_ours_and_keras(run, tmp_path):
    finished = run("memory.py", "--smoke", "--json", tmp_path / "rows", "--plot", tmp_path / "plot.png")
    rows = json.loads((tmp_path / "rows").read_text())
    assert {"one B*N*T*S array", "Keras"} <= {row["peer"] for row in rows}
    for row in rows:
        assert list(row) == ["case", "ours_bytes", "peer", "peer_bytes", "ratio"]
        # Noise of the allocators and of tracing: some megabytes.
        assert abs(row["ours_bytes"]) < 50e6
    assert rows[0]["peer_bytes"] == 4 * 8 * 64 * 64
    assert "forward+backward T=S=64" in finished.stdout
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")

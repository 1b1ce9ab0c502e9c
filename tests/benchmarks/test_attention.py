import json


def test_ours_and_keras(run, tmp_path):
    run(
        "attention.py",
        "--smoke",
        "--cases",
        "S=40|lengths",
        "--peers",
        "^Keras$|sgemm|PyTorch",
        "--json",
        tmp_path / "rows",
    )
    rows = json.loads((tmp_path / "rows").read_text())
    # PyTorch is no dependency: it is there or not.
    assert {row["peer"] for row in rows} - {"PyTorch"} == {"Keras", "sgemm"}
    assert len({row["case"] for row in rows}) == 2
    assert all(row["ours_ms"] > 0 and row["peer_ms"] > 0 and row["ratio"] > 0 for row in rows)

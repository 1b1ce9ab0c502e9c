import json


def test_ours_and_tensorflow(run_here, tmp_path):
    run_here("swiglu", "--smoke", "--peers", "TensorFlow", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    assert {row["peer"] for row in rows} == {"TensorFlow", "TensorFlow, XLA"}
    assert len(rows) == 8

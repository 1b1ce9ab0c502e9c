import json


def test_ours_and_tensorflow(run_here, tmp_path):
    run_here("rotary", "--smoke", "--json", tmp_path / "rows", "--peers", "^TensorFlow$")
    rows = json.loads((tmp_path / "rows").read_text())
    assert [row["peer"] for row in rows] == ["TensorFlow"]

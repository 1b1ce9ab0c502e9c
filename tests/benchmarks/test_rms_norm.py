import json


def test_ours_and_keras(run, tmp_path):
    run("rms_norm.py", "--smoke", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    assert {row["peer"] for row in rows} == {"keras.ops"}
    assert len(rows) == 4

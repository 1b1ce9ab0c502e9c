import json


def test_ours_and_keras(run_here, tmp_path):
    run_here("ctc_loss", "--smoke", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    assert [row["peer"] for row in rows] == ["keras.ops"]

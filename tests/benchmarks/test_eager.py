import json


def test_each_op_beside_a_function(run_here, tmp_path):
    run_here("eager", "--smoke", "--peers", "tf.function", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    assert {row["peer"] for row in rows} == {"tf.function"}
    assert {row["case"].split()[3] for row in rows} == {"attention", "gru", "lstm", "rms_norm"}

import json

import pytest


@pytest.mark.slow
def test_exports_with_fewer_bits_are_smaller(load, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["weights.py", "--smoke", "--json", str(tmp_path / "rows")])
    load("weights").main()
    rows = json.loads((tmp_path / "rows").read_text())
    assert [row["weights"] for row in rows] == ["float32", "bfloat16", "int8"]
    assert all(row["per_second_1"] > 0 for row in rows)

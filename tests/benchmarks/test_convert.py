import json


def test_every_model_before_and_after(run, tmp_path):
    finished = run("convert.py", "--smoke", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    assert len(rows) == 6
    assert {row["peer"] for row in rows} == {"Keras"}
    assert all(row["ours_ms"] > 0 and row["peer_ms"] > 0 and row["ratio"] > 0 for row in rows)
    table = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in finished.stdout.splitlines() if line[:1] == "|"
    ]
    assert [cells[0] for cells in table[2:]] == [row["case"] for row in rows]
    assert all(float(cells[-1]) < 1e-5 for cells in table[2:])

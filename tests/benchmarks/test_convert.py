import json

import pytest


@pytest.mark.slow
def test_every_model_before_and_after(run_here, load, monkeypatch, tmp_path):
    def compiled(model):
        # Graphs and XLA would take the most of the time.
        model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
        return model

    monkeypatch.setattr(load("convert_models"), "_compiled", compiled)
    printed = run_here("convert", "--smoke", "--cases", "training", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    assert len(rows) == 3
    assert {row["peer"] for row in rows} == {"Keras"}
    assert all(row["ours_ms"] > 0 and row["peer_ms"] > 0 and row["ratio"] > 0 for row in rows)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line[:1] == "|"]
    assert [cells[0] for cells in table[2:]] == [row["case"] for row in rows]
    assert all(float(cells[-1]) < 1e-5 for cells in table[2:])

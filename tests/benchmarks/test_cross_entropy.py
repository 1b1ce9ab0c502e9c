import json


def test_ours_and_keras(run_here, tmp_path):
    run_here("cross_entropy", "--smoke", "--peers", "Ikelos|Keras", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    assert {row["peer"] for row in rows} == {"Ikelos, of logits", "Keras"}


def test_memory(load):
    case = load("cross_entropy").cases("smoke")[0].arguments
    # Noise of the allocators and of tracing: some megabytes.
    assert abs(load("cross_entropy").extra_bytes("Ikelos", case)) < 50e6

import json
import re


def test_ours_and_keras(run, tmp_path):
    run("step.py", "--smoke", "--peers", "Keras|PyTorch", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    # PyTorch is no dependency: it is there or not.
    assert {row["peer"] for row in rows} - {"PyTorch eager"} == {"Keras layers"}
    assert {row["case"] for row in rows} == {"Transformer step T=16 B=2", "LSTM step T=16 B=2"}


def test_the_profile_names_our_ops(run, tmp_path):
    finished = run("step.py", "--smoke", "--cases", "LSTM", "--profile", tmp_path / "profile")
    for op in ("IkelosLstm", "IkelosLstmGrad"):
        assert re.search(rf"^{op} ", finished.stdout, re.MULTILINE), finished.stdout
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))

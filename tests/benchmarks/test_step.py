import json
import re

import pytest


@pytest.mark.slow
def test_ours_and_keras(run_here, tmp_path):
    run_here("step", "--smoke", "--peers", "Keras|PyTorch", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    # PyTorch is no dependency: it is there or not.
    assert {row["peer"] for row in rows} - {"PyTorch eager"} == {"Keras layers"}
    assert {row["case"] for row in rows} == {"Transformer step T=16 B=2", "LSTM step T=16 B=2"}


def test_the_profile_names_our_ops(run_here, tmp_path):
    printed = run_here("step", "--smoke", "--cases", "LSTM", "--profile", tmp_path / "profile")
    for op in ("IkelosLstm", "IkelosLstmGrad"):
        assert re.search(rf"^{op} ", printed, re.MULTILINE), printed
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))

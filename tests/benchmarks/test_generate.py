import json

import pytest


@pytest.mark.slow
def test_all_decode_the_same_tokens(run_here, tmp_path):
    run_here("generate", "--smoke", "--peers", "Ikelos|capacity|weights|tf.function", "--json", tmp_path / "rows")
    rows = json.loads((tmp_path / "rows").read_text())
    peers = {"a tf.function", "Ikelos without a cache", "capacity of the text", "weights read once"}
    assert {row["peer"] for row in rows} == peers

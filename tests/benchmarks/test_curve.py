import json

import pytest


@pytest.mark.slow
def test_the_recipe(run_here, tmp_path):
    text = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 20
    (tmp_path / "train.txt").write_text(text)
    (tmp_path / "validation.txt").write_text(text[:500])
    (tmp_path / "test.txt").write_text(text[:100])
    files = ", ".join(f"{split}: [{tmp_path / split}.txt]" for split in ("train", "validation", "test"))
    tiny = (
        "{architecture: transformer, context: 16, num_layers: 1, size: 8, num_heads: 2, hidden_size: 16, dropout: 0.0, "
    )
    run_here(
        "curve",
        "--smoke",
        "--set",
        f"data.source={{files: {{{files}}}}}",
        "--set",
        f"model={tiny}ngrams: null}}",
        "--set",
        "evaluation.stride=16",
        "--json",
        tmp_path / "rows",
        "--plot",
        tmp_path / "plot.png",
    )
    rows = json.loads((tmp_path / "rows").read_text())
    assert {"Ikelos 1x8"} <= {row["model"] for row in rows}
    for row in rows:
        assert list(row) == ["model", "seconds", "steps", "nats_per_character"]
        # Nearly that of guessing among some thirty characters.
        assert 1 < row["nats_per_character"] < 5
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")

import pytest


@pytest.mark.tfx
@pytest.mark.slow
def test_every_node_is_measured(run, tmp_path):
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.txt").write_text("To be, or not to be, that is the question:\n" * 20)
    files = ", ".join(f"{split}: [{tmp_path / split}.txt]" for split in ("train", "validation", "test"))
    settings = (
        f"data.source={{files: {{{files}}}}}",
        "model={architecture: transformer, context: 16, num_layers: 1, size: 8, num_heads: 2, hidden_size: 16, "
        "dropout: 0.0, ngrams: null}",
        "training.steps=2",
        "evaluation.stride=16",
        "evaluation.samples.length=10",
        "export.max_length=32",
    )
    found = run("pipeline.py", "language_modeling", *(word for one in settings for word in ("--set", one)))
    lines = found.stdout.splitlines()
    assert [line.split()[0] for line in lines[3:5]] == ["ExampleGen", "SchemaImporter"]
    assert lines[-1].startswith("all nodes")

"""Tests of the README's commands on the tiny recipe, without replacements of any code."""

import json
import shutil
from pathlib import Path

# Tracing takes most of the time, and an LSTM has the smallest graph. Sample texts have their own tests.
SMALL = (
    "model={architecture: lstm, context: 16, num_layers: 1, size: 16, dropout: 0.0}",
    "evaluation.samples.prompts=[]",
    "training.steps=6",
    "export.enabled=false",
)


def test_from_a_recipe_to_predictions(ikelos_command, tiny, tmp_path):
    recipe = tiny().source
    (tmp_path / "data" / "train more.txt").write_bytes(b"good \xff bad")
    fault = f"{tmp_path}/data/train more.txt is not valid UTF-8 at byte 5: invalid start byte"
    more = ("--set", f"data.source.files.train=['{tmp_path}/data/train*.txt']")
    refused = ikelos_command("run", recipe, *more, "--workdir", "runs/small")
    assert refused.status == 2
    assert refused.err.splitlines()[0].startswith(f"Error: {fault}")
    assert refused.err.splitlines()[1].startswith("Error: 1 of 2 examples of the split 'train' is faulty (1 not UTF-8)")

    more = (*more, "--set", "data.source.allowed_faults=0.5")
    described = ikelos_command("data", recipe, *more)
    assert (described.status, described.err) == (0, "")
    lines = [line.rstrip() for line in described.out.splitlines()]
    assert lines[lines.index("Left out") + 1] == "  train  1 not UTF-8"
    assert lines[lines.index("Left out") + 2].startswith(f"  {fault}")
    changes = (*more, *(word for change in SMALL for word in ("--set", change)))
    first = ikelos_command("run", recipe, *changes, "--workdir", "runs/small")
    assert (first.status, first.err) == (0, "")
    assert "\ndata: preparing, unless the cache has it already\ndata: left out of train: 1 not UTF-8\n" in first.out
    for phase in ("evaluation", "report"):
        assert f"\n{phase}: " in first.out
    result = first.out.splitlines()[-1]
    run = Path("runs/small")
    figures = json.loads((run / "evaluation.json").read_text())
    assert [line.partition(". If it is")[0] for line in figures["data"]["train"]["faults"]] == [fault]
    assert fault in (run / "report" / "report.html").read_text()
    model, (ngram,) = figures["model"], figures["baselines"].values()
    assert result == (
        f"Result  {model['nats_per_character']:.3f} nats per character, {model['bits_per_character']:.3f} bits per "
        f"character on 25 held-out characters; Interpolated Kneser-Ney {ngram['order']}-gram: "
        f"{ngram['nats_per_character']:.3f} nats per character"
    )
    facts = json.loads((run / "report" / "report.json").read_text())["facts"]
    assert facts["training"]["language_model"]["tokens"] == 6 * 8 * 16

    # Neither an evaluation nor an export trains.
    history = (run / "stages" / "language_model" / "history.jsonl").read_text()
    # Evaluates on other data with the model's tokens, and writes to a separate file.
    (tmp_path / "other.txt").write_text("the cow sat on the mat.")
    other = {
        split: [f"{tmp_path}/other.txt" if split == "test" else f"{tmp_path}/data/{split}.txt"]
        for split in ("train", "validation", "test")
    }
    evaluated = ikelos_command("evaluate", "runs/small", "--set", f"data.source={{files: {other}}}")
    assert (evaluated.status, evaluated.err) == (0, "")
    assert " on 23 held-out characters; " in evaluated.out.splitlines()[-1]
    assert len(list((run / "evaluations").iterdir())) == 1
    refused = ikelos_command("evaluate", "runs/small", "--set", "data.vocabulary.kind=byte")
    assert refused.err == (
        "Error: `data.vocabulary.kind` must be character, as in the run in runs/small. Received: "
        "data.vocabulary.kind=byte\n"
    )
    # Neither export nor prediction needs the data.
    shutil.rmtree(tmp_path / "data")
    assert ikelos_command("evaluate", "runs/small").status == 2
    exported = ikelos_command("export", "runs/small")
    assert exported.status == 0
    assert "SavedModel  runs/small/export/1" in exported.out
    assert json.loads((run / "evaluation.json").read_text())["model"] == model
    assert (run / "stages" / "language_model" / "history.jsonl").read_text() == history

    generate = ("predict", "runs/small", "--signature", "generate", "--input", "prompt=the c", "--input", "length=5")
    written = ikelos_command(*generate)
    assert (written.status, written.err) == (0, "")
    assert written.out.startswith("generate  Up to `length` new tokens")
    scored = ikelos_command("predict", "runs/small", "--input", "text=the cat", "--output", "json")
    assert json.loads(scored.out)["log_likelihood"][0] < 0

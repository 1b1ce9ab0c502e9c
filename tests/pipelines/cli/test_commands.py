"""The README's commands on the tiny recipe, with nothing replaced."""

import json
from pathlib import Path


def test_from_a_recipe_to_predictions(ikelos_command, tiny):
    recipe = tiny().source
    first = ikelos_command("run", recipe, "--set", "training.steps=6", "--workdir", "runs/small")
    assert (first.status, first.err) == (0, "")
    for phase in ("data", "preprocessing", "evaluation", "report", "export"):
        assert f"\n{phase}: " in first.out
    result = first.out.splitlines()[-1]
    assert result.startswith("Result  ")
    assert "nats per character" in result

    generate = ("predict", "runs/small", "--signature", "generate", "--input", "prompt=the c", "--input", "length=5")
    written = ikelos_command(*generate)
    assert (written.status, written.err) == (0, "")
    assert written.out.startswith("generate  Up to `length` (at most 32) new tokens")
    refused = ikelos_command(*generate[:-1], "length=33")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == "Error: signature generate: `length` must be between 0 and 32. Received: 33\n"
    scored = ikelos_command("predict", "runs/small", "--input", "text=the cat", "--output", "json")
    assert json.loads(scored.out)["log_likelihood"][0] < 0

    # Asked for, evaluation gives the same figures, and export the next version; neither trains.
    run = Path("runs/small")
    figures = json.loads((run / "evaluation.json").read_text())["model"]
    history = (run / "stages" / "language_model" / "history.jsonl").read_text()
    evaluated = ikelos_command("evaluate", "runs/small")
    assert (evaluated.status, evaluated.out.splitlines()[-1]) == (0, result)
    exported = ikelos_command("export", "runs/small")
    assert exported.status == 0
    assert "SavedModel  runs/small/export/2" in exported.out
    assert json.loads((run / "evaluation.json").read_text())["model"] == figures
    assert (run / "stages" / "language_model" / "history.jsonl").read_text() == history
    assert ikelos_command("doctor").status == 0

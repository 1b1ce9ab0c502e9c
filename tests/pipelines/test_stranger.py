"""Tests of a task outside of Ikelos with two stages, two optimizers, and a metric of which more is better."""

import json
import pathlib
import signal

import numpy as np
import pytest

from ikelos.pipelines import cli, runner
from ikelos.pipelines.training import checkpoint, progress
from ikelos.serving import StockModel

RECIPE = pathlib.Path(__file__).parent / "toy" / "points.yaml"


@pytest.fixture
def run(toy, tmp_path, capsys):
    """Runs `ikelos run` of the recipe in a folder, in this process; returns the exit status and the output."""

    def run(folder, *options):
        status = cli.main(["run", str(RECIPE), "--workdir", str(tmp_path / folder), *options])
        return status, capsys.readouterr()

    return run


def arrays(folder):
    """Returns the variables of each stage's last checkpoint, without the entry that holds times."""
    found = {}
    for stage in ("judge", "maker"):
        with np.load(checkpoint.newest(folder / "stages" / stage / "checkpoints")) as file:
            found |= {f"{stage}/{name}": file[name] for name in file.files if name != "about"}
    return found


def test_it_trains_resumes_evaluates_reports_and_exports(run, tmp_path, monkeypatch):
    status, printed = run("whole")
    assert status == 0, printed.err
    report = json.loads((tmp_path / "whole/report/report.json").read_text())
    accuracy = report["facts"]["model"]["accuracy"]
    assert accuracy > 0.75
    assert f"{accuracy:.1%} share as asked for on 64 held-out points" in printed.out
    assert report["facts"]["training"]["maker"]["points"] == 48 * 16
    headings = [section["heading"] for section in report["sections"]]
    assert [heading for heading in headings if heading.startswith("Training")] == ["Training: judge", "Training: maker"]
    records = [json.loads(line) for line in (tmp_path / "whole/stages/maker/history.jsonl").read_text().splitlines()]
    step = next(record for record in records if record["event"] == "step")
    assert {f"{who}_{what}" for who in ("generator", "discriminator") for what in ("loss", "gradient_norm")} <= set(
        step
    )
    assert all("validation_diversity" in record for record in records if record["event"] == "epoch")
    with StockModel(tmp_path / "whole/export/1") as model:
        scores = model.run("serving_default", {"point": [[0.0, 0.0], [3.0, 3.0]]})["scores"]
    assert scores.argmax(-1).tolist() == [0, 1]

    # After interruptions within each stage and between the two, it ends with the same bits.
    moments = [("judge", 7), ("judge", 24), ("maker", 11)]
    original = progress.Progress.advance

    def interrupted(self, number=1):
        original(self, number)
        if (
            self.name,
            self.done,
        ) in moments and number == 1:  # after a step of this run, not at the step where it resumed
            moments.remove((self.name, self.done))
            signal.raise_signal(signal.SIGTERM)

    # Only the weights are compared, which are written by then.
    monkeypatch.setattr(runner, "measure", lambda *_: json.loads((tmp_path / "whole/evaluation.json").read_text()))
    monkeypatch.setattr(progress.Progress, "advance", interrupted)
    options = ("--set", "export.enabled=false")
    while moments:
        assert run("broken", *options)[0] == 128 + signal.SIGTERM
    assert run("broken", *options)[0] == 0
    whole, broken = arrays(tmp_path / "whole"), arrays(tmp_path / "broken")
    assert whole.keys() == broken.keys()
    # The state of both optimizers is complete.
    assert sum("adam_w/clipped_steps" in name for name in whole if name.startswith("maker/")) == 2
    for name, value in whole.items():
        np.testing.assert_array_equal(broken[name], value, err_msg=name, strict=True)


def test_it_takes_under_sixty_lines():
    assert (
        sum(len(path.read_text().splitlines()) for path in (RECIPE.parent / "toy_tasks" / "points").glob("*.py")) < 60
    )

"""Runs and lineage, read from the metadata of a pipeline that TFX ran."""

import json

import pytest

from ikelos import serving
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines.cli import main
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.tfx import steps

pytestmark = pytest.mark.tfx

BLESSED = "pipeline.blessing={worst: null, better_than_last: true}"
STRICT = "pipeline.blessing={worst: 0.01, better_than_last: false}"


class Interruption(BaseException):
    """An end of the process at which TFX notes nothing."""


@pytest.fixture
def pipeline(tmp_path):
    """Runs the recipe that `tiny` wrote in a pipeline; gives its folder."""
    from ikelos.pipelines.tfx import build, compiled, local

    folder = tmp_path / "pipeline"
    place = build.Place(str(folder / "artifacts"), str(folder / "served"), folder / "metadata" / "metadata.sqlite")

    def run(*overrides):
        made = build.pipeline(recipes.load(tmp_path / "tiny.yaml", overrides), place)
        local.run(compiled.compile_pipeline(made))
        return folder

    return run


def test_runs_and_the_lineage_of_what_they_pushed(tiny_lstm, pipeline, tmp_path, monkeypatch, capsys):
    from ikelos.pipelines.tfx import metadata

    tiny_lstm()
    folder = pipeline(BLESSED)
    path = folder / "metadata" / "metadata.sqlite"
    pipeline(BLESSED)
    pipeline(STRICT)
    first, second, third = metadata.runs(path)
    assert first.begin < second.begin < third.begin
    assert set(first.nodes.values()) == {"done"}
    assert (first.against, first.version, first.pushed_here) == ((), str(folder / "served" / "1"), True)
    assert first.result.startswith(f"{figures(folder)['nats_per_character']:.3f} nats per character")
    assert set(second.nodes.values()) == {"cached"}
    assert (second.against, second.version, second.pushed_here) == ((), first.version, False)
    assert [name for name, state in third.nodes.items() if state == "done"] == ["Evaluator", "Pusher"]
    assert (third.result, third.version) == (first.result, None)
    assert third.against[0].startswith("`nats_per_character` must be at most 0.010")

    rows = metadata.lineage(path, None)
    assert rows == metadata.lineage(path, 1)
    provenance = serving.read_provenance(folder / "served" / "1")
    assert rows["Pushed by the run"] == rows["Trained by the run"] == first.id
    assert rows["Recipe"] == f"SHA-256 {provenance['recipe']}"
    assert provenance["checkpoints"]["language_model"]["sha256"] in rows["Checkpoint of language_model"]
    assert (rows["Result"], rows["Model run"]) == (first.result, str(artifact(folder, "Trainer/model_run")))
    assert rows["State of the source"] == steps.state(recipes.load(tmp_path / "tiny.yaml", [BLESSED]))
    facts = json.loads((artifact(folder, "ExampleGen/examples") / "examples.json").read_text())["splits"]
    assert rows["Examples of train"] == f"1, SHA-256 {facts['train']['sha256']}"
    assert rows["Schema"] == str(artifact(folder, "SchemaImporter/schema") / "schema.pbtxt")
    with pytest.raises(UserError, match=r"must be one that the pipeline pushed: 1\. Received: 2 in .*/served$"):
        metadata.lineage(path, 2)

    for error, state in ((OSError("no"), "failed"), (Interruption(), "running")):
        monkeypatch.setattr(steps, "train", raises(error))
        with pytest.raises((OSError, Interruption)):
            pipeline(BLESSED, f"training.seed={len(state)}")
        last = metadata.runs(path)[-1]
        assert (last.nodes["Trainer"], last.result, last.against, last.version) == (state, None, None, None)
        assert "Evaluator" not in last.nodes

    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["runs", str(folder)]) == 0
    blocks = capsys.readouterr().out.split(f"{first.begin:%Y}-")[1:]
    assert "Blessed  yes" in blocks[0]
    assert f"Pushed   {folder}/served/1, by an earlier run" in blocks[1]
    assert "Blessed  no\n" in "\n".join(line.rstrip() for line in blocks[2].splitlines())
    assert "Failed  Trainer" in blocks[3]
    assert "Running  Trainer" in blocks[4]
    assert main(["runs", str(folder), "--version", "newest"]) == 0
    assert first.id in capsys.readouterr().out


def test_a_pipeline_that_pushed_nothing_has_no_lineage(tiny_lstm, pipeline, monkeypatch, tmp_path):
    from ikelos.pipelines.tfx import metadata

    tiny_lstm()
    monkeypatch.setattr(steps, "read", raises(OSError("no")))
    with pytest.raises(OSError, match="no"):
        pipeline(BLESSED)
    with pytest.raises(UserError, match="FOLDER must be that of a pipeline that has pushed a version"):
        metadata.lineage(tmp_path / "pipeline" / "metadata" / "metadata.sqlite", None)


def raises(error):
    def function(*_):
        raise error

    return function


def artifact(folder, kind):
    """The only artifact of a kind."""
    (found,) = (folder / "artifacts" / kind).iterdir()
    return found


def figures(folder):
    first = min((folder / "artifacts" / "Evaluator" / "evaluation").iterdir(), key=lambda path: int(path.name))
    return json.loads((first / "evaluation.json").read_text())["model"]

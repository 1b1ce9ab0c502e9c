"""The options of `ikelos pipeline`, `ikelos node` and `ikelos runs`, on one pipeline of a tiny recipe."""

import re

import pytest

from ikelos.pipelines.cli import main

pytestmark = pytest.mark.tfx

CONDITIONS = "pipeline.blessing={worst: null, better_than_last: false}"
STRICT = "pipeline.blessing={worst: 0.01, better_than_last: false}"


@pytest.fixture
def ikelos(capsys, monkeypatch):
    """Runs `ikelos ...` in this process, checks its exit status, and returns its output, or its errors if it fails."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERM", "dumb")

    def call(*arguments, status=0):
        capsys.readouterr()
        found = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert found == status, err
        return err if status else out

    return call


def outcomes(said):
    """The outcome of each node in what `ikelos pipeline` printed."""
    return dict(re.findall(r"^(\w+) \(\d+ of \d+\)$(?:\n.*)*?\n  (done|cached) after", said, re.MULTILINE))


def test_every_option_does_what_its_help_says(tiny_lstm, ikelos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_lstm()
    places = ["--workdir", "work", "--artifacts", "made", "--push-to", tmp_path / "models"]
    command = ["pipeline", "tiny.yaml", *places, "--on"]
    said = ikelos(*command, "local", "--set", CONDITIONS)
    nodes = outcomes(said)
    assert len(nodes) == 9
    assert set(nodes.values()) == {"done"}
    assert re.search(rf"^ *Artifacts +{tmp_path}/made *\n *Models to serve +{tmp_path}/models *$", said, re.MULTILINE)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["metadata"]
    assert {path.name for path in (tmp_path / "made").glob("[!.]*")} == nodes.keys()
    assert (tmp_path / "models" / "1" / "saved_model.pb").is_file()

    # `--from`: this node and those that depend on it.
    again = outcomes(ikelos(*command, "local", "--set", CONDITIONS, "--from", "InfraValidator"))
    assert {name for name, outcome in again.items() if outcome == "done"} == {"InfraValidator", "Pusher"}
    assert again.keys() == nodes.keys()
    error = ikelos(*command, "local", "--set", CONDITIONS, "--from", "Nothing", status=2)
    assert re.fullmatch(r"Error: `--from` must be one of ExampleGen, .*\. Received: --from Nothing\n", error)

    # `--no-cache` of one node, and of all: what is trained again is pushed again.
    ikelos(*command, "airflow", "--set", CONDITIONS)
    (file,) = (tmp_path / "work").glob("pipeline-*.json")
    assert ikelos("node", file, "ExampleGen", "--run-id", "first").endswith("ExampleGen: cached\n")
    assert ikelos("node", file, "ExampleGen", "--run-id", "second", "--no-cache").endswith("ExampleGen: done\n")
    assert "NODE must be one of ExampleGen" in ikelos("node", file, "Nothing", "--run-id", "first", status=2)
    assert "StatisticsGen must be run after" in ikelos("node", file, "StatisticsGen", "--run-id", "third", status=2)
    assert set(outcomes(ikelos(*command, "local", "--set", CONDITIONS, "--no-cache")).values()) == {"done"}

    # A model that is not blessed, and a run that fails.
    said = ikelos(*command, "local", "--set", STRICT)
    assert {name for name, outcome in outcomes(said).items() if outcome == "done"} == {"Evaluator", "Pusher"}
    assert "Not blessed: `nats_per_character` must be at most 0.010" in said
    broken = tmp_path / "broken.pbtxt"
    broken.write_text('feature { name: "weight" type: FLOAT presence { min_fraction: 1 } }')
    error = ikelos(*command, "local", "--set", f"pipeline.examples_schema={broken}", status=2)
    assert error.startswith("Error: The examples must agree with the schema. Received:\nError: train: feature ")
    assert sorted(path.name for path in (tmp_path / "models").glob("[0-9]*")) == ["1", "2"]

    blocks = re.split(r"^ *\S+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", ikelos("runs", "work"), flags=re.MULTILINE)[1:]
    runs = [dict(re.findall(r"^  (\w+) +(.*?) *$", block, re.MULTILINE)) for block in blocks]
    first, partly, *single, anew, withheld, failed = runs
    assert (first.keys(), first["Blessed"]) == ({"Done", "Result", "Blessed", "Pushed"}, "yes")
    assert set(first["Done"].split(", ")) == nodes.keys()
    assert set(partly["Done"].split(", ")) == {"InfraValidator", "Pusher"}
    assert [run["Pushed"] for run in (first, partly, anew)] == [f"{tmp_path}/models/{number}" for number in (1, 1, 2)]
    assert [run.keys() for run in single] == [{"Cached"}, {"Done"}]
    assert (withheld.keys(), withheld["Blessed"]) == ({"Done", "Cached", "Result", "Blessed"}, "no")
    assert (failed.keys(), failed["Failed"]) == ({"Done", "Cached", "Failed"}, "ExampleValidator")


def test_the_folder_of_a_pipeline_is_named_after_its_recipe(tiny_lstm, ikelos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_lstm()
    said = ikelos("pipeline", "tiny.yaml", "--on", "airflow")
    folder = tmp_path / "runs" / "pipelines" / "tiny"
    assert re.search(rf"^ *Artifacts +{folder}/artifacts *\n *Models to serve +{folder}/served *$", said, re.MULTILINE)
    assert sorted(path.suffix for path in folder.glob("*.*")) == [".json", ".py"]

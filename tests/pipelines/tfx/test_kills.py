"""A node that is killed and run again leaves the same outputs as one that was never killed."""

import functools
import json
import multiprocessing
import os
import signal

import pytest

from ikelos.pipelines.folder import Folder

pytestmark = pytest.mark.tfx

BLESSED = "pipeline.blessing={worst: null, better_than_last: true}"
RUN = "a run"


def in_child(function, *arguments):
    """The exit code of a function in a fork of this process, which has loaded TFX but run nothing of TensorFlow."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def kills(function, number=1):
    """Returns a function that ends this process at its call of this number and is `function` at those before it."""
    calls = []

    @functools.wraps(function)
    def replacement(*arguments, **named):
        calls.append(arguments)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return replacement


def in_its_work():
    """For each node, a function that it calls before its outputs are complete: its place, its name and which call."""
    from apache_beam.io import filebasedsink

    from ikelos.pipelines.data import records
    from ikelos.pipelines.tfx import components, push, steps

    return {
        "ExampleGen": (records, "write", 2),
        "SchemaImporter": (components.storage, "write", 1),
        "StatisticsGen": (filebasedsink.FileBasedSink, "finalize_write", 1),
        "ExampleValidator": (components, "_write_anomalies", 2),
        "SkewValidator": (components, "_write_anomalies", 1),
        "Preparation": (steps, "copy_file", 2),
        "Trainer": (steps, "copy", 2),
        "Evaluator": (steps, "Verdict", 1),
        "InfraValidator": (components, "_bless", 1),
        "Pusher": (push, "publish", 1),
    }


def at_its_end():
    """For each node, the function of TFX that notes its outputs."""
    from tfx.orchestration.portable import launcher

    return dict.fromkeys(in_its_work(), (launcher.Launcher, "_publish_successful_execution", 1))


def run(made, name, killed_in=None):
    from ikelos.pipelines.tfx import node

    if killed_in is not None:
        place, function, number = killed_in
        setattr(place, function, kills(getattr(place, function), number))
    assert node.run(made, name, RUN) == "done"


class Pipeline:
    """A pipeline in a folder with a cache of its own."""

    def __init__(self, folder, recipe, monkeypatch):
        from ikelos.pipelines.tfx import build, compiled

        monkeypatch.setenv("IKELOS_CACHE", str(folder / "cache"))
        self.folder, self.metadata = folder, folder / "metadata" / "metadata.sqlite"
        place = build.Place(str(folder / "artifacts"), str(folder / "served"), self.metadata)
        self.made = compiled.compile_pipeline(build.pipeline(recipe, place))
        self.nodes = list(compiled.nodes(self.made))

    def artifacts(self):
        """The folders of all artifacts by node and kind."""
        kinds = (self.folder / "artifacts").glob("[!.]*/[!.]*")
        return {f"{kind.parent.name}/{kind.name}": list(kind.iterdir()) for kind in kinds}

    def content(self, kind):
        """The files of the only artifact of a kind by their paths, without those that TensorBoard names by the time."""
        (folder,) = self.artifacts()[kind]
        files = [path for path in folder.rglob("*") if path.is_file() and "tfevents" not in path.name]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def expected_outputs(pipeline):
    return (pipeline.folder / "served" / "1" / "assets.extra" / "ikelos_expected.json").read_bytes()


def result(pipeline, weights):
    """What the weights depend on, the weights, the model's figure and its outputs."""
    same = ("ExampleGen/examples", "StatisticsGen/statistics", "SchemaImporter/schema", "Preparation/prepared")
    (run,), (evaluation,) = pipeline.artifacts()["Trainer/model_run"], pipeline.artifacts()["Evaluator/evaluation"]
    figures = json.loads((evaluation / "evaluation.json").read_text())["model"]
    return [
        *map(pipeline.content, same),
        weights(Folder(run)),
        figures["nats_per_character"],
        expected_outputs(pipeline),
    ]


@pytest.mark.parametrize("points", [in_its_work, pytest.param(at_its_end, marks=pytest.mark.slow)])
def test_every_node_may_be_killed(tiny, weights, tmp_path, monkeypatch, points):
    log = tmp_path / "log"
    log.touch()
    recipe = tiny(BLESSED, f"pipeline.skew={{requests: ['{log}'], limits: [{{feature: bytes, distance: 0.5}}]}}")
    undisturbed = Pipeline(tmp_path / "undisturbed", recipe, monkeypatch)
    for name in undisturbed.nodes:
        assert in_child(run, undisturbed.made, name) == 0
    pipeline = Pipeline(tmp_path / "killed", recipe, monkeypatch)
    for name in pipeline.nodes:
        assert (name, in_child(run, pipeline.made, name, points()[name])) == (name, -signal.SIGKILL)
        assert (name, in_child(run, pipeline.made, name)) == (name, 0)

    assert {kind: len(found) for kind, found in pipeline.artifacts().items()} == dict.fromkeys(
        undisturbed.artifacts(), 1
    )
    for kind in undisturbed.artifacts():
        assert (kind, pipeline.content(kind).keys()) == (kind, undisturbed.content(kind).keys())
    assert [path.name for path in (pipeline.folder / "served").iterdir() if path.name != "lock"] == ["1"]
    assert result(pipeline, weights) == result(undisturbed, weights)
    from ikelos.pipelines.tfx import metadata

    (only,) = metadata.runs(pipeline.metadata)
    assert only.nodes == dict.fromkeys(pipeline.nodes, "done")

"""A node that is killed and run again leaves the same outputs as one that was never killed."""

import json
import pathlib
import signal
import subprocess
import sys

import pytest

from ikelos.pipelines.folder import Folder

pytestmark = pytest.mark.tfx

BLESSED = "pipeline.blessing={worst: null, better_than_last: true}"


@pytest.fixture(scope="module")
def forked():
    """Runs a node in a process of its own, which may be killed at a point; gives its exit code."""
    here = pathlib.Path(__file__)
    command = [sys.executable, "-P", here.parents[1] / "forks.py", here.with_name("node_jobs.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(path, name, points=None):
            job = {"pipeline": str(path), "node": name, "points": points}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            while not (line := process.stdout.readline().strip()).removeprefix("-").isdecimal():
                assert process.poll() is None, line  # the node's own output
            return int(line)

        yield run
        process.stdin.close()


class Pipeline:
    """A pipeline in a folder, with a cache in it."""

    def __init__(self, folder, recipe):
        from ikelos.pipelines.tfx import build, compiled

        self.folder, self.metadata = folder, folder / "metadata" / "metadata.sqlite"
        place = build.Place(str(folder / "artifacts"), str(folder / "served"), self.metadata)
        made = compiled.compile_pipeline(build.pipeline(recipe, place))
        self.nodes, self.path = list(compiled.nodes(made)), compiled.write(folder, made)

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


@pytest.mark.parametrize("points", ["in_its_work", pytest.param("at_its_end", marks=pytest.mark.slow)])
def test_every_node_may_be_killed(tiny_lstm, weights, forked, tmp_path, points):
    log = tmp_path / "log"
    log.touch()
    recipe = tiny_lstm(BLESSED, f"pipeline.skew={{requests: ['{log}'], limits: [{{feature: bytes, distance: 0.5}}]}}")
    undisturbed = Pipeline(tmp_path / "undisturbed", recipe)
    for name in undisturbed.nodes:
        assert (name, forked(undisturbed.path, name)) == (name, 0)
    pipeline = Pipeline(tmp_path / "killed", recipe)
    for name in pipeline.nodes:
        assert (name, forked(pipeline.path, name, points)) == (name, -signal.SIGKILL)
        assert (name, forked(pipeline.path, name)) == (name, 0)

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

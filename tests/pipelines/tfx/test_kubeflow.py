"""Specifications for Kubeflow: validated by kfp, their container commands run as Kubeflow would run them."""

import json
import subprocess

import pytest
import yaml

from ikelos.pipelines import recipe as recipes
from ikelos.serving.check import stock_check

pytestmark = pytest.mark.tfx


class Specification:
    """A written specification, whose nodes are run one after the other with the inputs that Kubeflow would give."""

    def __init__(self, path, root, folder):
        """`root` is a URL for the artifacts, and `folder` for the files that a container writes for Kubeflow."""
        (self.spec,) = yaml.safe_load_all(path.read_text())
        self.tasks = self.spec["root"]["dag"]["tasks"]
        self._root, self._folder, self._made = root, folder, {}

    def order(self):
        """The names of the nodes, each behind those that it depends on."""
        done = []
        while len(done) < len(self.tasks):
            done += [
                name for name, task in self.tasks.items()
                if name not in done and set(task.get("dependentTasks", ())) <= set(done)
            ]  # fmt: skip
        return done

    def run(self, name, **parameters):
        task, component = self.tasks[name], self.spec["components"][name]
        given = task.get("inputs", {})
        artifacts = {
            key: self._made[one["taskOutputArtifact"]["producerTask"]][one["taskOutputArtifact"]["outputArtifactKey"]]
            for key, one in given.get("artifacts", {}).items()
        }
        values = {
            key: one["runtimeValue"]["constant"]
            if "runtimeValue" in one
            else parameters[one["componentInputParameter"]]
            for key, one in given.get("parameters", {}).items()
        }
        outputs = {
            key: {"artifacts": [{"name": key, "type": one["artifactType"], "uri": f"{self._root}/{name}/{key}"}]}
            for key, one in component["outputDefinitions"]["artifacts"].items()
        }
        written = self._folder / name / "executor_output.json"
        invocation = {
            "inputs": {"artifacts": artifacts, "parameterValues": values},
            "outputs": {"artifacts": outputs, "outputFile": str(written)},
        }
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        arguments = [json.dumps(invocation) if text == "{{$}}" else text for text in container["args"]]
        found = subprocess.run([*container["command"], *arguments], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr[-4000:]
        # Kubeflow hands on what the node noted of its artifacts.
        self._made[name] = {
            key: {"artifacts": [outputs[key]["artifacts"][0] | one["artifacts"][0]]}
            for key, one in json.loads(written.read_text())["artifacts"].items()
        }
        return found.stdout


@pytest.fixture
def write(tmp_path):
    """Writes the specification of a recipe for a root and a place to serve from."""

    def make(recipe, root, served):
        from ikelos.pipelines.tfx import build, kubeflow

        path = tmp_path / "pipeline.yaml"
        made = build.pipeline(recipe, build.Place(str(root), str(served), None))
        kubeflow.write(made, recipe.config.pipeline, "ikelos:2.21", build.states(recipe), path)
        return path

    return make


@pytest.mark.slow
def test_its_containers_lead_from_data_to_a_pushed_model_in_an_object_store(tiny_lstm, write, bucket, tmp_path):
    import s3fs

    from ikelos.pipelines.tfx import served

    recipe = tiny_lstm("pipeline.blessing={worst: null, better_than_last: true}")
    root, base = f"{bucket}/root", f"{bucket}/served"
    made = Specification(write(recipe, root, base), root, tmp_path / "outputs")
    for name in made.order():
        said = made.run(name, state="")
    assert f"Pushed: {base}/1" in said
    s3fs.S3FileSystem().get(f"{base}/1", str(tmp_path / "served"), recursive=True)
    assert stock_check(tmp_path / "served")
    rows = served.lineage(base, None)
    assert (rows["Version"], rows["Model run"]) == (f"{base}/1", f"{root}/Trainer/model_run")
    assert rows["Examples of train"].startswith("1, SHA-256 ")


def test_the_states_of_data_and_requests_are_parameters(tiny_lstm, write, tmp_path):
    from ikelos.pipelines.tfx import build

    (tmp_path / "log").touch()
    recipe = tiny_lstm(f"pipeline.skew={{requests: ['{tmp_path}/log'], limits: [{{feature: bytes, distance: 0.1}}]}}")
    made = Specification(write(recipe, tmp_path / "root", tmp_path / "served"), tmp_path / "root", tmp_path / "outputs")
    parameters = made.spec["root"]["inputDefinitions"]["parameters"]
    assert {name: one["defaultValue"] for name, one in parameters.items()} == build.states(recipe)
    given = made.tasks["SkewValidator"]["inputs"]["parameters"]["requests_state"]
    assert given == {"componentInputParameter": "requests_state"}
    assert "SkewValidator" in made.tasks["Pusher"]["dependentTasks"]


@pytest.mark.parametrize("name", sorted(recipes.names()))
def test_every_recipe_is_written_for_kubeflow_and_airflow(shrunk, write, tmp_path, name):
    import kfp.components

    from ikelos.pipelines.tfx import airflow, build, compiled

    recipe = shrunk(name)
    found = kfp.components.load_component_from_file(str(write(recipe, "gs://bucket/root", "gs://bucket/served")))
    executors = found.pipeline_spec.deployment_spec["executors"]
    assert {one["container"]["image"] for one in executors.values()} == {"ikelos:2.21"}
    assert {one["container"]["resources"]["memoryLimit"] for one in executors.values()} == {8.0}
    place = build.Place(str(tmp_path / "root"), str(tmp_path / "served"), tmp_path / "metadata" / "metadata.sqlite")
    nodes = compiled.nodes(compiled.compile_pipeline(build.pipeline(recipe, place)))
    text = airflow.dag(recipe, nodes, tmp_path / "pipeline.json", tmp_path / "ikelos", tmp_path)
    assert compile(text, "dag.py", "exec")
    assert set(nodes) == {label.removesuffix("_executor") for label in executors}

"""Whole pipelines of a tiny recipe in TFX, on this machine; `test_all_tasks.py` has those of the other tasks."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ikelos import serving
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import trained
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.recipe import loading

pytestmark = pytest.mark.tfx

BLESSED = "pipeline.blessing={worst: null, better_than_last: true}"


@pytest.fixture
def again(tmp_path):
    """Loads the recipe that `shrunk` made with other overrides; the files of its data keep their times."""
    return lambda *overrides: recipes.load(tmp_path / "tiny.yaml", overrides)


def outcomes_before(found, node):
    names = list(found)
    return {found[name] for name in names[: names.index(node)]}


def test_weights_are_those_of_a_run(tiny_lstm, pipeline, trained_run, weights, tmp_path):
    recipe = tiny_lstm(BLESSED, "training.deterministic=true")
    like = trained_run(recipe, tmp_path / "run")
    pipeline.run(recipe)
    run = Folder(pipeline.artifact("Trainer", "model_run"))
    assert weights(run) == weights(like)


def test_a_model_beyond_its_limits_is_not_pushed(tiny_lstm, again, pipeline, tmp_path, capsys):
    slices = "pipeline.slices=[{feature: id, worst: 0.02}]"
    pipeline.run(tiny_lstm("pipeline.blessing={worst: 0.01, better_than_last: true}", slices))
    said, test = capsys.readouterr().out, tmp_path / "data" / "test.txt"
    assert f"Worst of 1 slices of `id`: `{test}`, " in said
    assert "Not blessed: `nats_per_character` must be at most 0.010 (pipeline.blessing.worst)" in said
    assert "Not blessed: `nats_per_character` must be at most 0.020 in each slice of `id` (pipeline.slices)" in said
    assert pipeline.versions() == []
    found = pipeline.run(again(BLESSED))
    assert outcomes_before(found, "Evaluator") == {"cached"}
    assert found["Evaluator"] == found["Pusher"] == "done"
    assert pipeline.versions() == ["1"]


def test_what_changes_after_a_run_decides_what_is_run_again(tiny_lstm, pipeline, tmp_path, monkeypatch, capsys):
    recipe = tiny_lstm(BLESSED)
    pipeline.run(recipe)
    # From a node on, everything is run again. The model is compared with itself, and is no better.
    found = pipeline.run(recipe, "Evaluator")
    said = capsys.readouterr().out
    assert "must be better than that of the served model on the same data" in said
    assert "Not pushed: the model is not blessed." in said
    assert outcomes_before(found, "Evaluator") == {"cached"}
    assert (found["Evaluator"], found["InfraValidator"], found["Pusher"]) == ("done", "cached", "done")
    assert pipeline.versions() == ["1"]

    # New data are read again.
    path = tmp_path / "data" / "train.txt"
    path.write_text(path.read_text() + "a new line.")
    found = pipeline.run(recipe)
    assert found["ExampleGen"] == found["Trainer"] == "done"
    assert found["SchemaImporter"] == "cached"

    # Another version of Ikelos runs every node again.
    monkeypatch.setattr("ikelos.__version__", "2.21.99")
    found = pipeline.run(recipe)
    assert {name for name, outcome in found.items() if outcome == "cached"} == {"SchemaImporter"}


def test_a_new_day_of_data_trains_on_from_the_served_model(tiny_lstm, again, pipeline, tmp_path, capsys):
    from ikelos.pipelines.tfx import metadata

    tiny_lstm()
    days = f"data.source.files.train=['{tmp_path}/days/{{SPAN}}/*.txt']"
    recipe = again(BLESSED, "pipeline.warm_start=true", days, "data.source.spans=2")
    for day in ("2026-11-25", "2026-11-26", "2026-11-27"):
        add_day(tmp_path, day)
    pipeline.run(recipe)
    said = f"The training begins from scratch: {pipeline.folder}/served has no version yet."
    assert said in capsys.readouterr().out
    first = pipeline.artifact("Trainer", "model_run")
    assert set(pipeline.run(recipe).values()) == {"cached"}  # although a model is served since the first run
    add_day(tmp_path, "2026-11-28")
    found = pipeline.run(recipe)
    assert found.pop("SchemaImporter") == "cached"
    assert set(found.values()) == {"done"}

    about = json.loads((pipeline.artifact("ExampleGen", "examples") / "examples.json").read_text())
    assert about["splits"]["train"]["examples"] == 2
    second = Folder(pipeline.artifact("Trainer", "model_run"))
    start = json.loads(second.start.read_text())
    assert start == {"run": str(first), "checkpoints": trained.load(first).checkpoints}
    figures = json.loads((pipeline.artifact("Evaluator", "evaluation") / "evaluation.json").read_text())
    assert figures["from"] == start
    assert figures["model"]["nats_per_character"] < figures["served"]["nats_per_character"]
    assert pipeline.versions() == ["1", "2"]
    rows = [metadata.lineage(pipeline.folder / "metadata" / "metadata.sqlite", version) for version in (1, 2)]
    assert rows[1]["Began with"] == rows[0]["Model run"] == str(first)
    assert "Began with" not in rows[0]


def add_day(folder, day):
    (folder / "days" / day).mkdir(parents=True)
    (folder / "days" / day / "texts.txt").write_text((folder / "data" / "train.txt").read_text() + day)


def test_a_broken_feature_stops_the_run_and_is_named(shrunk, pipeline, tmp_path):
    schema = tmp_path / "schema.pbtxt"
    recipe = shrunk("image_generation_vae", BLESSED, f"pipeline.examples_schema={schema}")
    packaged = (loading.RECIPES / "schemas" / "image_generation_vae.pbtxt").read_text()
    schema.write_text(packaged + 'feature { name: "weight" type: FLOAT presence { min_fraction: 1 } }')
    with pytest.raises(UserError, match="train: feature `weight`: ") as raised:
        pipeline.run(recipe)
    assert "validation: feature `weight`: " in str(raised.value)
    assert not (pipeline.folder / "artifacts" / "Preparation").exists()


def test_drifted_labels_stop_the_run(shrunk, pipeline, tmp_path):
    drift = "pipeline.drift=[{feature: label, distance: 0.05}]"
    recipe = shrunk("image_generation_vae", BLESSED, drift)
    assert set(pipeline.run(recipe).values()) == {"done"}
    assert pipeline.versions() == ["1"]
    for path in (tmp_path / "data" / "train" / "standing").glob("*[1-9].png"):
        path.unlink()
    with pytest.raises(UserError, match=r"train: feature `label`: .*Jensen-Shannon"):
        pipeline.run(recipe)


@pytest.fixture
def logged(tmp_path):
    """Replaces the log of requests by one of texts, with the message classes of TensorFlow Serving."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    def write(*texts):
        with tf.io.TFRecordWriter(str(tmp_path / "log")) as writer:
            for text in texts:
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.model_spec.signature_name = "serving_default"
                log.predict_log.request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
                writer.write(log.SerializeToString())

    return write


def test_requests_unlike_the_training_examples_stop_the_run(tiny_lstm, pipeline, logged, tmp_path, capsys):
    from ikelos.pipelines.tfx import compiled, node

    skew = f"pipeline.skew={{requests: ['{tmp_path}/log*'], limits: [{{feature: bytes, distance: 0.3}}]}}"
    recipe = tiny_lstm("pipeline.blessing={worst: null, better_than_last: false}", skew)
    assert set(pipeline.run(recipe).values()) == {"done"}
    assert f"Not compared: no requests are logged in {tmp_path}/log*." in capsys.readouterr().out
    text = (tmp_path / "data" / "train.txt").read_text()
    logged(text, text)
    found = pipeline.run(recipe)
    assert {name for name, outcome in found.items() if outcome == "done"} == {"SkewValidator"}
    assert "Compared: 2 rows of logged requests" in capsys.readouterr().out
    assert set(pipeline.run(recipe).values()) == {"cached"}

    logged(3 * text, 4 * text)
    made = pipeline.compiled(recipe)
    for name in compiled.nodes(made):
        if name == "SkewValidator":
            with pytest.raises(UserError, match=r"must resemble .*\nrequests: feature `bytes`: .*Jensen-Shannon"):
                node.run(made, name, "a run")
        elif name == "Pusher":
            with pytest.raises(UserError, match=r"Pusher must be run after .* are not done: SkewValidator"):
                node.run(made, name, "a run")
        else:
            assert node.run(made, name, "a run") == "cached"
    logged(text)
    assert node.run(made, "SkewValidator", "a run") == "done"
    assert node.run(made, "Pusher", "a run") == "cached"
    assert pipeline.versions() == ["1"]


def test_a_limit_that_cannot_be_applied_is_refused(tiny_lstm, pipeline, logged, tmp_path):
    from ikelos.pipelines.tfx import build

    logged("a text")
    skew = f"{{requests: ['{tmp_path}/log*'], limits: [{{feature: FEATURE, distance: 0.3}}]}}"
    with pytest.raises(UserError, match=r"`pipeline\.skew\.limits` must name features of .*: bytes, .*: label"):
        build.schema(tiny_lstm("pipeline.skew=" + skew.replace("FEATURE", "label")))
    with pytest.raises(UserError, match=r"must name features that the requests give: bytes, text \(of .* text\)"):
        pipeline.run(tiny_lstm("pipeline.skew=" + skew.replace("FEATURE", "start")))


def test_a_model_that_was_compared_with_another_one_is_not_pushed(tiny_lstm, pipeline):
    from ikelos.pipelines.tfx import compiled, node

    made = pipeline.compiled(tiny_lstm(BLESSED))
    names = list(compiled.nodes(made))
    for name in names[:-1]:
        node.run(made, name, "a run")
    served = pipeline.folder / "served" / "1" / "assets.extra"
    served.mkdir(parents=True)
    (served / "ikelos_run.json").write_text('{"run": "another run"}')
    with pytest.raises(UserError, match="another run is served now, with which the model was not compared"):
        node.run(made, "Pusher", "a run")


# Fast: the Trainer that `test_airflow.py` kills.
@pytest.mark.slow
def test_a_killed_trainer_continues(tiny_lstm, pipeline, tmp_path):
    from ikelos.pipelines.tfx import compiled, node

    recipe = tiny_lstm(BLESSED, "training.steps=400", "training.steps_per_epoch=400", "training.checkpoint_every=5")
    made = pipeline.compiled(recipe)
    path = compiled.write(tmp_path, made)
    names = list(compiled.nodes(made))
    for name in names[: names.index("Trainer")]:
        node.run(made, name, "a run")
    command = [sys.executable, "-c", "import sys; from ikelos.pipelines.cli import main; sys.exit(main())", "node"]
    process = subprocess.Popen([*command, str(path), "Trainer", "--run-id", "a run"])
    stages = tmp_path / "cache" / "pipelines"
    while not (found := list(stages.glob("*/stages/*/checkpoints/step-*[05].npz"))):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "400" not in found[0].name
    assert node.run(made, "Trainer", "a run") == "done"
    assert node.run(made, "Trainer", "a run") == "done"
    runs = list((pipeline.folder / "artifacts" / "Trainer" / "model_run").iterdir())
    assert len(runs) == 1
    assert serving.newest(runs[0] / "export")


def test_a_node_without_its_inputs_fails(tiny_lstm, pipeline):
    from ikelos.pipelines.tfx import node

    made = pipeline.compiled(tiny_lstm(BLESSED))
    with pytest.raises(UserError, match="Trainer must be run after the nodes that it depends on"):
        node.run(made, "Trainer", "a run")
    with pytest.raises(UserError, match=r"NODE must be one of ExampleGen, .* Received: Nothing"):
        node.run(made, "Nothing", "a run")


def test_relative_paths_are_refused_with_a_runner(tiny_lstm, pipeline):
    source = "data.source={files: texts, splits: {validation: 0.1, test: 0.1}}"
    with pytest.raises(
        UserError, match=r"`data\.source\.files` must be absolute .* Received: texts, with --runner=FlinkRunner"
    ):
        pipeline.compiled(tiny_lstm(BLESSED, source, "pipeline.beam=[--runner=FlinkRunner]"))
    assert pipeline.compiled(tiny_lstm(BLESSED, source))

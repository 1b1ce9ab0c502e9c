import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from ikelos import serving
from ikelos.pipelines import runner, trained
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.tfx import steps
from ikelos.serving import prediction_log


@pytest.mark.parametrize(
    "name",
    [
        "language_modeling",
        *(pytest.param(f"image_generation_{name}", marks=pytest.mark.slow) for name in ("vae", "gan")),
    ],
)
def test_weights_are_those_of_a_run(shrunk, through, weights, tmp_path, name):
    recipe = shrunk(name, "training.deterministic=true")
    runner.run(recipe, tmp_path / "run")
    run = Folder(through(recipe)["run"])
    assert len(weights(run)) > 5
    assert weights(run) == weights(Folder(tmp_path / "run"))
    notes = [serving.read_provenance(serving.newest(folder / "export")) for folder in (run.path, tmp_path / "run")]
    assert notes[0]["recipe"] == notes[1]["recipe"]
    assert trained.load(run.path).model.count_params()


def verdict(recipe, folders, served=None):
    return steps.evaluate(
        recipe, folders["examples"], folders["prepared"], folders["run"], served, folders["evaluation"]
    )


def figures(folders):
    """The figures of the model that `verdict` evaluated."""
    return json.loads(Folder(folders["evaluation"]).evaluation.read_text())["model"]


def test_a_model_must_reach_the_limit(points, through):
    recipe = points("pipeline.blessing.worst=0.0")
    folders = through(recipe)
    assert verdict(recipe, folders).against == ()
    value = figures(folders)["accuracy"]
    (against,) = verdict(points(f"pipeline.blessing.worst={value + 0.001}"), folders).against
    assert against.startswith("`accuracy` must be at least ")
    assert against.endswith(f"(pipeline.blessing.worst). Received: {value:.1%}")
    assert (folders["evaluation"] / "report" / "report.html").is_file()


def test_a_model_must_beat_the_served_one_on_the_same_data(points, through, monkeypatch):
    folders = through(points())
    served = folders["run"]
    against = verdict(points(), folders, served).against
    assert [reason.partition(" on the same data")[0] for reason in against] == [
        "`accuracy` must be better than that of the served model"
    ]
    assert verdict(points("pipeline.blessing.better_than_last=false"), folders, served).against == ()
    monkeypatch.setattr(steps, "_remeasured", lambda *_: {"accuracy": 0.0})
    assert verdict(points(), folders, served).against == ()


def test_the_served_model_is_measured_with_its_own_vocabulary(tiny, through, tmp_path):
    recipe = tiny("training.steps=6", "pipeline.blessing.worst=null")
    earlier = through(recipe, "earlier")
    verdict(recipe, earlier)
    expected = figures(earlier)["nats_per_character"]
    (tmp_path / "data" / "train.txt").write_text("0123456789 " * 100)
    (against,) = verdict(recipe, through(recipe), earlier["run"]).against
    assert f"on the same data, {expected:.3f}. Received:" in against


def test_the_state_of_a_source_changes_with_it(tiny, tmp_path):
    recipe = tiny()
    before = steps.state(recipe)
    assert steps.state(recipe) == before
    (tmp_path / "data" / "train.txt").write_text("other words. " * 100)
    assert steps.state(recipe) != before


def test_a_pipeline_begins_with_no_other_run(points, through, finished, tmp_path):
    with pytest.raises(UserError, match=r"`from` must be null in a pipeline\. Received: from="):
        through(points(f"from={finished}"))


def test_a_served_model_of_another_task_is_refused(tiny, through):
    recipe = tiny("training.steps=6")
    folders = through(recipe)
    path = folders["run"] / "recipe.yaml"
    other = folders["run"].with_name("another")
    other.mkdir()
    text = (pathlib.Path(__file__).parents[3] / "tfx_configs" / "image_generation_vae.yaml").read_text()
    (other / "recipe.yaml").write_text(text)
    assert path.is_file()
    with pytest.raises(UserError, match=r"`task` must be that of the served model, image_generation_vae\. Received"):
        verdict(recipe, folders, other)


def test_other_preprocessing_of_the_same_examples_is_another_run(shrunk, through, tmp_path):
    recipe = shrunk("image_generation_vae", "training.steps=1")
    through(recipe, "first")
    for split in ("train", "validation", "test"):  # the names of the classes alone change, not their order
        (tmp_path / "data" / split / "standing").rename(tmp_path / "data" / split / "upright")
    folders = through(recipe, "second")
    assert (folders["run"] / "preprocessing" / "classes.json").read_text() == '["lying", "upright"]\n'


def test_data_that_change_while_they_are_read_are_refused(tiny, tmp_path, monkeypatch):
    recipe = tiny()
    states = iter(["before", "after"])
    monkeypatch.setattr(steps, "state", lambda _: next(states))
    (tmp_path / "examples").mkdir()
    with pytest.raises(UserError, match="changed while it was read"):
        steps.read(recipe, tmp_path / "examples")


def test_copies_have_lives_of_their_own(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "inner.unfinished").mkdir(parents=True)
    for name in ("lock", "history.jsonl", "step.npz"):
        (source / name).write_text(name)
    steps.copy(source, target)
    assert sorted(path.name for path in target.iterdir()) == ["history.jsonl", "step.npz"]
    with (source / "history.jsonl").open("a") as file:
        file.write("more")
    assert (target / "history.jsonl").read_text() == "history.jsonl"
    assert (target / "step.npz").stat().st_ino == (source / "step.npz").stat().st_ino


@pytest.fixture
def log(tmp_path):
    """Writes requests, dicts of values by input, into a log of this name."""

    def write(name, *requests):
        (tmp_path / "logs").mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(tmp_path / "logs" / name)) as writer:
            for request in requests:
                tensors = {key: tf.make_tensor_proto(value).SerializeToString() for key, value in request.items()}
                writer.write(prediction_log.encode("serving_default", tensors))

    return write


@pytest.fixture
def rows(tmp_path):
    """The examples that logged requests become, in their order; `limited` are the features that they must give."""

    def read(kinds, *limited):
        path = tmp_path / "rows"
        number = steps.requests([f"{tmp_path}/logs"], kinds, limited, path)
        found = [
            tf.train.Example.FromString(content) for content in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        ]
        assert len(found) == number
        return [
            {
                name: [*value.bytes_list.value, *value.int64_list.value]
                for name, value in example.features.feature.items()
            }
            for example in found
        ]

    return read


TEXT = {"id": bytes, "order": int, "bytes": int, "text": bytes, "start": int}
IMAGE = {"id": bytes, "order": int, "bytes": int, "image": bytes, "label": bytes, "label_number": int}


def test_each_row_of_a_request_is_an_example(log, rows):
    log("2", {"text": ["é"]})
    log("1", {"text": ["ab", ""]}, {"prompt": ["not compared"], "length": [3]}, {"text": ["c"], "start": [7]})
    assert rows(TEXT, "text", "bytes") == [
        {"text": [b"ab"], "bytes": [2]},
        {"text": [b""], "bytes": [0]},
        {"text": [b"c"], "bytes": [1], "start": [7]},
        {"text": ["é".encode()], "bytes": [2]},
    ]


def test_only_inputs_of_the_kind_of_a_feature_are_compared(log, rows):
    pixels = np.zeros([2, 8, 8, 1], "float32")
    log("1", {"image": pixels, "label": [0, 1]}, {"image_bytes": [b"\xff\x00", b""], "label": [0, 1], "bytes": [5, 6]})
    assert rows(IMAGE, "image") == [{"image": [b"\xff\x00"], "bytes": [2]}, {"image": [b""], "bytes": [0]}]
    log("1", {"image": pixels, "label_number": [0, 1]})
    assert rows(IMAGE) == [{"label_number": [0]}, {"label_number": [1]}]


def test_features_that_no_request_gives_are_named(log, rows):
    log("1", {"text": ["a"], "label": [0]})
    with pytest.raises(UserError) as raised:
        rows(TEXT | {"label": bytes}, "text", "label", "id")
    assert str(raised.value) == (
        "`pipeline.skew.limits` must name features that the requests give: bytes, text (of the inputs label, text). "
        "Received: id, label"
    )
    log("1", {"prompt": ["a"]})
    with pytest.raises(UserError, match=r"the requests give: there are none \(of the inputs prompt\)"):
        rows(TEXT, "text")


def test_no_requests_are_no_rows(log, rows):
    assert rows(TEXT, "text") == []
    log("1")
    assert rows(TEXT, "text") == []


def test_a_log_of_something_else_is_refused(log, rows, tmp_path):
    log("1", {"text": ["a"]})
    (tmp_path / "logs" / "2").write_text("a line of another log. " * 10)
    with pytest.raises(
        UserError, match=r"`pipeline\.skew\.requests` must match logs of requests only: .*/2 must have undamaged"
    ):
        rows(TEXT, "text")
    log("2", {"text": ["a", "b"], "start": [1]})
    with pytest.raises(UserError, match=r"must have one number of rows\. Received: start, text"):
        rows(TEXT, "text")


def test_the_state_of_requests_changes_with_their_files(log, tmp_path):
    def state():
        return steps.state_of_requests([f"{tmp_path}/logs/*"])

    states = [state()]
    log("1", {"text": ["a"]})
    states.append(state())
    log("2", {"text": ["a"]})
    states.append(state())
    os.utime(tmp_path / "logs" / "1", ns=(0, 0))
    states.append(state())
    assert len(set(states)) == 4
    assert state() == states[-1]

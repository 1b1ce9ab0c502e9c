import dataclasses
import gzip
import json
import pathlib

import pytest

from ikelos import serving
from ikelos.pipelines import phases, runner, trained
from ikelos.pipelines import recipe as recipes
from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import preparation, records, writing
from ikelos.pipelines.data.config import SPLITS
from ikelos.pipelines.data.records import Records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.folder import Folder
from ikelos.pipelines.text import documents
from ikelos.pipelines.tfx import steps, storage

# Graphs take most of the time: those of sample texts are large, and those of an LSTM small.
WITHOUT_SAMPLES = "evaluation.samples.prompts=[]"
LSTM = "model={architecture: lstm, context: 16, num_layers: 1, size: 16, dropout: 0.0}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("language_modeling", (WITHOUT_SAMPLES, LSTM)),
        *((f"image_generation_{name}", ()) for name in ("vae", "gan")),
    ],
)
def test_weights_are_those_of_a_run(shrunk, through, trained_run, weights, tmp_path, name, overrides):
    recipe = shrunk(name, "training.deterministic=true", *overrides)
    like = trained_run(recipe, tmp_path / "run")
    folders = through(recipe)
    run = Folder(folders["run"])
    assert len(weights(run)) > 5
    assert weights(run) == weights(like)
    loaded = trained.load(run.path)
    assert loaded.model.count_params()
    note = serving.read_provenance(serving.newest(run.export))
    started = runner.Started(recipe, like, loaded.task, loaded.preprocessing)
    assert note["recipe"] == runner.provenance(started)["recipe"]
    examples = [(folders[name] / "examples.json").read_text() for name in ("examples", "run")]
    assert examples[0] == examples[1]


@pytest.fixture
def prepare(tmp_path):
    """Reads and prepares a recipe's data; gives the folder of the prepared data."""

    def go(recipe, place, start=None):
        folders = [tmp_path / place / name for name in ("examples", "prepared")]
        for folder in folders:
            folder.mkdir(parents=True)
        steps.read(recipe, folders[0])
        steps.prepare(recipe, *folders, tmp_path / place / "staging", start=start)
        return folders[1]

    return go


@pytest.fixture
def passed(prepare, points, finished):
    """Returns the folders that `through` gives, of the finished run of the toy task."""
    prepared = prepare(points(), "pipeline")
    (prepared.parent / "evaluation").mkdir()
    return {name: prepared.parent / name for name in ("examples", "prepared", "evaluation")} | {"run": finished}


def verdict(recipe, folders, served=None):
    return steps.evaluate(
        recipe, folders["examples"], folders["prepared"], folders["run"], served, folders["evaluation"]
    )


def evaluation(folders):
    """What `verdict` wrote."""
    return json.loads(Folder(folders["evaluation"]).evaluation.read_text())


def test_a_model_must_reach_the_limit(points, passed):
    assert verdict(points("pipeline.blessing.worst=0.0"), passed).against == ()
    value = evaluation(passed)["model"]["accuracy"]
    (against,) = verdict(points(f"pipeline.blessing.worst={value + 0.001}"), passed).against
    assert against.startswith("`accuracy` must be at least ")
    assert against.endswith(f"(pipeline.blessing.worst). Received: {value:.1%}")
    assert (passed["evaluation"] / "report" / "report.html").is_file()


def test_a_model_must_beat_the_served_one_on_the_same_data(points, passed, monkeypatch):
    served = passed["run"]
    against = verdict(points(), passed, served).against
    assert [reason.partition(" on the same data")[0] for reason in against] == [
        "`accuracy` must be better than that of the served model"
    ]
    assert verdict(points("pipeline.blessing.better_than_last=false"), passed, served).against == ()
    monkeypatch.setattr(steps, "_remeasured", lambda *_: {"accuracy": 0.0})
    assert verdict(points(), passed, served).against == ()


@pytest.mark.usefixtures("without_export")
def test_the_served_model_is_measured_with_its_own_vocabulary(tiny_lstm, through, tmp_path):
    recipe = tiny_lstm("training.steps=6", "pipeline.blessing.worst=null")
    earlier = through(recipe, "earlier")
    verdict(recipe, earlier)
    expected = evaluation(earlier)["model"]["nats_per_character"]
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


def test_a_served_model_of_another_task_is_refused_before_anything_is_read(tiny, tmp_path):
    other = tmp_path / "another"
    other.mkdir()
    text = (pathlib.Path(__file__).parents[3] / "tfx_configs" / "image_generation_vae.yaml").read_text()
    (other / "recipe.yaml").write_text(text)
    folders = dict.fromkeys(("examples", "prepared", "run", "evaluation"), tmp_path / "none")
    with pytest.raises(UserError, match=r"`task` must be that of the served model, image_generation_vae\. Received"):
        verdict(tiny(), folders, other)


@pytest.mark.usefixtures("without_export")
def test_other_preprocessing_of_the_same_examples_is_another_run(shrunk, through, tmp_path, monkeypatch):
    monkeypatch.setattr(phases, "train", lambda *_: {})
    monkeypatch.setattr(runner, "save_models", lambda *_: None)
    recipe = shrunk("image_generation_vae")
    through(recipe, "first")
    for split in ("train", "validation", "test"):  # the names of the classes alone change, not their order
        (tmp_path / "data" / split / "standing").rename(tmp_path / "data" / split / "upright")
    folders = through(recipe, "second")
    assert (folders["run"] / "preprocessing" / "classes.json").read_text() == '["lying", "upright"]\n'


def test_data_that_change_while_they_are_read_are_refused(tiny, tmp_path, monkeypatch):
    recipe = tiny()
    states = iter(["before", "after"])
    monkeypatch.setattr(steps, "state", lambda *_: next(states))
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


def backwards(function, items):
    """Works like `map`, but begins with the last item, as other workers may."""
    return reversed([function(item) for item in reversed(list(items))])


def write_texts(folder):
    """Writes texts of all kinds: empty, faulty, packed, and some of several pieces; returns their pattern."""
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        for number in range(7):
            (folder / split / f"{number}.txt").write_text(f"{split} {number} é\n" * number)
        (folder / split / "faulty.txt").write_bytes(b"\xff")
        (folder / split / "long.txt").write_text("a long line\n" * 40)
        (folder / split / "packed.txt.gz").write_bytes(gzip.compress(b"packed"))
    return f"{folder}/{{}}/*"


@pytest.fixture
def chunked(shrunk, data_set_of_files, tmp_path, monkeypatch):
    """Loads a recipe whose data are divided into chunks, and their stores into parts."""
    monkeypatch.setattr(records, "CHUNK_EXAMPLES", 6)
    monkeypatch.setattr(writing, "PART_BYTES", 300)
    monkeypatch.setattr(documents, "PIECE_BYTES", 64)

    def load(kind):
        shrunk("language_modeling" if kind == "texts" else "image_generation_vae")
        if kind == "a data set":
            splits = "{train: 'train[5:]+test', validation: 'train[:5]', test: test}"
            source = f"tfds: ikelos_files, data_dir: {data_set_of_files('tfrecord')}, splits: {splits}"
        else:
            pattern = write_texts(tmp_path / "texts") if kind == "texts" else f"{tmp_path}/data/{{}}/*/*.png"
            source = f"files: { {split: [pattern.format(split)] for split in SPLITS} }, allowed_faults: 0.2"
        if kind == "images":
            (tmp_path / "data" / "train" / "lying" / "02.png").write_bytes(b"broken")
        return recipes.load(tmp_path / "tiny.yaml", [f"data.source={{{source}}}"])

    return load


def content(folder):
    """The files of the preprocessing and of the stores."""
    paths = [path for name in ("preprocessing", *SPLITS) for path in (folder / name).rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("kind", "root"),
    [("texts", "{}/root"), ("images", "{}/root"), ("a data set", "{}/root"), ("texts", "memory://{}/root")],
)
def test_chunks_of_several_workers_make_the_stores_of_ikelos_data(chunked, kind, root, tmp_path, monkeypatch):
    recipe, root = chunked(kind), root.format(tmp_path)
    direct = preparation.prepare(tasks.of_recipe(recipe).preparation())
    assert len(direct.splits["train"].parts) > 2
    monkeypatch.setenv("IKELOS_CACHE", str(tmp_path / "another cache"))
    steps.read(recipe, f"{root}/examples", backwards)
    (tmp_path / "prepared").mkdir()
    steps.prepare(recipe, f"{root}/examples", tmp_path / "prepared", f"{root}/staging", backwards)
    assert content(tmp_path / "prepared") == content(direct.folder)
    assert len(Records(f"{root}/examples", storage.opened).chunks("train")) > 1
    with pytest.raises(FileNotFoundError), storage.opened(f"{root}/staging/preprocessing/{storage.COMPLETE}") as path:
        path.read_bytes()


def test_a_preparation_that_was_killed_goes_on_with_the_chunk(chunked, tmp_path):
    recipe = chunked("texts")

    def dying(function, items):
        for number in items:
            if number == 1:
                raise KeyboardInterrupt
            yield function(number)

    done = []

    def watched(function, items):
        items = list(items)
        done.append(items[0])
        return map(function, items)

    steps.read(recipe, tmp_path / "examples")
    (tmp_path / "killed").mkdir()
    arguments = (recipe, tmp_path / "examples", tmp_path / "killed", tmp_path / "staging")
    with pytest.raises(KeyboardInterrupt):
        steps.prepare(*arguments, dying)
    assert list((tmp_path / "killed").iterdir()) == []
    steps.prepare(*arguments, watched)
    assert done == [0, 0, 0]
    assert content(tmp_path / "killed") == content(preparation.prepare(tasks.of_recipe(recipe).preparation()).folder)


@pytest.mark.usefixtures("without_export")
def test_a_warm_start_gives_the_weights_of_a_run_with_from(tiny_lstm, through, trained_run, weights, tmp_path):
    served = steps.Served("artifacts/7", through(tiny_lstm(), "first")["run"])
    with (tmp_path / "data" / "train.txt").open("a") as file:
        file.write("two cats sat on a log 0123456789. " * 30)
    recipe = recipes.load(tmp_path / "tiny.yaml", [])
    folders = through(recipe, start=served)
    started = recipes.load(tmp_path / "tiny.yaml", [f"from={served.folder}"])
    run, like = Folder(folders["run"]), trained_run(started, tmp_path / "run")
    assert weights(run) == weights(like)
    for name in ("vocabulary.json", "splits.json"):
        assert (run.preprocessing / name).read_bytes() == (like.preprocessing / name).read_bytes()
    verdict(recipe, folders)
    assert evaluation(folders)["from"] == {"run": "artifacts/7", "checkpoints": trained.load(served.folder).checkpoints}
    report = (folders["evaluation"] / "report" / "report.json").read_text()
    assert "Training began with the weights of the run artifacts/7, whose checkpoint" in report


@pytest.mark.usefixtures("without_export")
def test_a_killed_training_continues_from_its_recorded_start(
    points, through, trained_run, weights, finished, tmp_path, monkeypatch
):
    def die(stage, *others):
        if stage.name == "maker":
            raise KeyboardInterrupt
        return fit(stage, *others)

    fit, cache = phases.training.fit, tmp_path / "cache" / "pipelines"
    with monkeypatch.context() as patch:
        patch.setattr(phases.training, "fit", die)
        for place, start in (("scratch", None), ("killed", steps.Served("artifacts/7", finished))):
            with pytest.raises(KeyboardInterrupt):
                through(points(), place, start)
    folders = set(cache.iterdir())
    assert len(folders) == 2
    assert [steps.began_with(tmp_path / place / "prepared") for place in ("scratch", "killed")] == [None, "artifacts/7"]
    steps.train(points(), tmp_path / "killed" / "prepared", tmp_path / "run", tmp_path / "model", finished)
    assert set(cache.iterdir()) == folders
    whole = trained_run(points(f"from={finished}"), tmp_path / "whole")
    assert weights(Folder(tmp_path / "run")) == weights(whole) != weights(Folder(finished))


def test_a_served_model_that_does_not_fit_is_one_error_that_names_warm_start(tiny, prepare, tmp_path, monkeypatch):
    recipe, folder = tiny(), prepare(tiny(), "first")
    made = tasks.of_recipe(recipe)
    other = trained.Run(Folder(folder), recipe, made, phases.load(made, folder / "preprocessing"), {}, {})
    monkeypatch.setattr(trained, "load", lambda _: other)
    served = steps.Served("artifacts/7", folder)
    with pytest.raises(
        UserError,
        match=r"^`data\.vocabulary` must be the vocabulary of the run: .* \(`pipeline\.warm_start` is true, and "
        r"artifacts/7 is served: train once with `pipeline\.warm_start=false`\)$",
    ):
        prepare(tiny("data.vocabulary={kind: byte, size: null}"), "vocabulary", served)
    with pytest.raises(
        UserError,
        match=r"^`pipeline\.warm_start` must be false unless the served run is one of the same architecture: "
        r"model\.num_heads is 2 there and 4 here\. Received: pipeline\.warm_start=true, with artifacts/7 served$",
    ):
        steps.train(
            tiny("model.num_heads=4"), prepare(recipe, "again", served), tmp_path / "run", tmp_path / "model", folder
        )


def test_a_served_model_of_another_task_or_data_is_one_error_that_names_warm_start(
    points, prepare, finished, tmp_path, monkeypatch
):
    def refuse(*_):
        raise UserError("the classes must be those")

    served, other = steps.Served("artifacts/7", finished), trained.load(finished)
    with monkeypatch.context() as patch:
        patch.setattr(type(other.task), "check_preprocessing", refuse)
        with pytest.raises(
            UserError, match=r"must be those \(`pipeline\.warm_start` is true, and artifacts/7 is served"
        ):
            steps.train(points(), prepare(points(), "a", served), tmp_path / "run", tmp_path / "model", finished)
    greeting = dataclasses.replace(other, recipe=recipes.load("toy", []))
    monkeypatch.setattr(trained, "load", lambda _: greeting)
    with pytest.raises(
        UserError,
        match=r"^`pipeline\.warm_start` must be false unless the served run is one of the task points\. Received: "
        r"pipeline\.warm_start=true, with artifacts/7 served, a run of the task greeting$",
    ):
        prepare(points(), "b", served)


def test_a_run_whose_weights_are_not_those_recorded_is_refused(points, prepare, finished, tmp_path, monkeypatch):
    prepared = prepare(points(), "a", steps.Served("artifacts/7", finished))
    other = dataclasses.replace(trained.load(finished), checkpoints={})
    monkeypatch.setattr(trained, "load", lambda _: other)
    with pytest.raises(
        UserError, match=r"unless the served run is one with the weights that this run began with\. Received: "
    ):
        steps.train(points(), prepared, tmp_path / "run", tmp_path / "model", finished)

import json
from pathlib import Path

import numpy as np
import pytest

from ikelos.pipelines import task as tasks
from ikelos.pipelines.data import records
from ikelos.pipelines.data.records import Record, Records
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Slices
from ikelos.pipelines.task import ByExample
from ikelos.pipelines.tfx import slices, steps


@pytest.fixture
def kept_examples(tmp_path):
    """Writes examples as those of the test split, a list for each chunk."""

    def write(*chunks):
        (tmp_path / "Split-test").mkdir()
        facts = [
            records.write(Path(records.path_of(tmp_path, "test", number)), some) for number, some in enumerate(chunks)
        ]
        (tmp_path / records.ABOUT).write_text(records.summary({"test": facts}, {}))
        return Records(tmp_path)

    return write


def image(name, size, **features):
    return Record(name, {"image": b"\xff" * size, **features})


def test_quantities_are_divided_at_powers_of_two():
    ranges = {slices.powers(number): number for number in range(1 << 12)}
    assert list(ranges)[:5] == ["0", "1", "2 to 3", "4 to 7", "8 to 15"]
    assert [number + 1 for number in ranges.values()][1:] == [2**power for power in range(1, 13)]
    assert slices.powers(2000) == "1,024 to 2,047"


def test_examples_find_their_slices_by_id(kept_examples):
    kept = kept_examples(
        [image("a", 1, label="cat", label_number=7), image("faulty", 2, label="bird", label_number=9)],
        [image("b", 3, label="dög", label_number=8)],
    )
    assert slices.of_examples(kept, ["b", "a"], ["label", "label_number", "bytes", "id"]) == {
        "label": ["dög", "cat"],
        "label_number": ["8", "7"],
        "bytes": ["2 to 3", "1"],
        "id": ["b", "a"],
    }


@pytest.mark.parametrize(
    ("some", "feature", "message"),
    [
        (
            [image("a", 1, label="x"), image("b", 1)],
            "label",
            "every test example has. Received: label, but b has only ",
        ),
        (
            [image("a", 1)],
            "image",
            "values are numbers or names .*Received: image, which is a value that is no text in a",
        ),
        ([Record("a", {"text": b"x" * 1001})], "text", "Received: text, which is a text of 1,001 bytes in a"),
        ([image("a", 1), image("a", 2)], "bytes", "different ids. Received: two with a"),
        ([image(f"{n}", 1) for n in range(1001)], "id", "at most 1,000 slices. Received: id, of 1,001"),
    ],
)
def test_what_has_no_slices_is_refused(kept_examples, some, feature, message):
    kept = kept_examples(some)
    with pytest.raises(UserError, match=f"`pipeline.slices` .*{message}"):
        slices.of_examples(kept, list(dict.fromkeys(one.name for one in some)), [feature])


def test_only_means_over_examples_have_slices(shrunk):
    label = Slices(feature="label", worst=None)
    for name in ("image_generation_vae", "language_modeling"):
        slices.check(tasks.of_recipe(shrunk(name)), [label])
    gan = tasks.of_recipe(shrunk("image_generation_gan"))
    slices.check(gan, [])
    with pytest.raises(UserError, match=r"`pipeline.slices` must be \[\] for this task: `kid\w*` .*Received: label$"):
        slices.check(gan, [label])


def test_a_feature_is_named_once(points):
    with pytest.raises(UserError, match=r"`slices` must name each feature once. Received: id, id"):
        points("pipeline.slices=[{feature: id, worst: null}, {feature: id, worst: 1.0}]")


# Weights differ as the lengths of texts do, and values by more than float32 resolves.
RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.integers(1, 300_000, 60).astype(np.float64)
VALUES = 1 + RANDOM.random(60) * 1e-3
TABLE = {
    "label": RANDOM.choice(["a", "b", "ç"], 60).tolist(),
    "bytes": RANDOM.choice(["2 to 3", "4 to 7"], 60).tolist(),
}


def mean_of(feature, name):
    here = np.array(TABLE[feature]) == name
    return np.average(VALUES[here], weights=WEIGHTS[here])


def measured(better, worst, folder):
    metric = Metric("cost", "nats", ".6f", better)
    some = [Slices(feature="label", worst=worst), Slices(feature="bytes", worst=None)]
    return slices.measure(metric, ByExample(VALUES * WEIGHTS, WEIGHTS), TABLE, some, folder)


@pytest.mark.tfx
@pytest.mark.parametrize("better", ["less", "more"])
def test_slices_have_the_weighted_means_of_numpy_and_limits(tmp_path, better):
    import tensorflow_model_analysis as tfma

    means = {name: mean_of("label", name) for name in sorted(set(TABLE["label"]))}
    order = sorted(means, key=means.get, reverse=better == "less")
    found = measured(better, means[order[1]] + (1e-9 if better == "less" else -1e-9), tmp_path)
    assert list(found.figures["label"]) == order
    for feature, parts in found.figures.items():
        assert set(parts) == set(TABLE[feature])
        for name, figures in parts.items():
            assert figures["cost"] == pytest.approx(mean_of(feature, name), rel=1e-12)
            assert figures["examples"] == TABLE[feature].count(name)
    (against,) = found.against
    limit, worst = f"{means[order[1]]:.6f}", f"{means[order[0]]:.6f}"
    assert against == (
        f"`cost` must be at {'most' if better == 'less' else 'least'} {limit} in each slice of `label` "
        f"(pipeline.slices). Received: {worst} in `{order[0]}`"
    )
    examples = TABLE["label"].count(order[0])
    assert found.lines[0] == f"Worst of 3 slices of `label`: `{order[0]}`, {worst} nats ({examples} examples)"
    # The files are those of TensorFlow Model Analysis, in which all examples are a slice too.
    loaded = tfma.load_eval_result(str(tmp_path))
    assert loaded.config.slicing_specs[1].feature_keys == ["label"]
    whole = dict(loaded.slicing_metrics)[()][""][""]
    assert whole["cost"]["doubleValue"] == pytest.approx(np.average(VALUES, weights=WEIGHTS), rel=1e-12)
    assert whole["examples"]["doubleValue"] == 60


@pytest.mark.tfx
def test_a_slice_that_is_too_bad_withholds_the_blessing(shrunk, through):
    features = "[{feature: label, worst: 1.0}, {feature: bytes, worst: null}]"
    recipe = shrunk(
        "image_generation_vae", "training.steps=1", "pipeline.blessing.worst=null", f"pipeline.slices={features}"
    )
    folders = through(recipe)
    found = steps.evaluate(
        recipe, folders["examples"], folders["prepared"], folders["run"], None, folders["evaluation"]
    )
    written = json.loads((folders["evaluation"] / "evaluation.json").read_text())
    classes = written["model"]["classes"]
    assert set(written["slices"]["label"]) == {"lying", "standing"}
    for name, figures in written["slices"]["label"].items():
        assert figures["nats_per_image"] == pytest.approx(classes[name]["nats_per_image"], rel=1e-12)
        assert figures["examples"] == classes[name]["images"]
    assert sum(figures["examples"] for figures in written["slices"]["bytes"].values()) == written["model"]["images"]
    assert found.slices[0].startswith("Worst of 2 slices of `label`: `")
    (against,) = found.against
    assert against.startswith(
        "`nats_per_image` must be at most 1.00 in each slice of `label` (pipeline.slices). Receiv"
    )
    assert all(f"{part['nats_per_image']:.2f} in `{name}`" in against for name, part in classes.items())


@pytest.mark.tfx
def test_an_unknown_feature_and_a_task_without_slices_are_refused_at_once(shrunk, tmp_path):
    from ikelos.pipelines.tfx import build

    place = build.Place(str(tmp_path / "artifacts"), str(tmp_path / "served"), None)
    for name, feature, message in (
        ("image_generation_vae", "weight", r"name features of .*: bytes, id, .*\. Received: weight$"),
        ("image_generation_gan", "label", r"be \[\] for this task"),
    ):
        with pytest.raises(UserError, match=f"`pipeline.slices` must {message}"):
            build.pipeline(shrunk(name, f"pipeline.slices=[{{feature: {feature}, worst: null}}]"), place)

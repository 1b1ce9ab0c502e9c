import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines import runner
from ikelos.pipelines.data.order import WHOLE, Shard
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import gan
from ikelos.pipelines.tasks.image_generation_gan.task import STAGE
from ikelos.serving import StockModel


def served(task, preprocessing, model):
    return {signature.name: signature for signature in task.signatures(preprocessing, {STAGE: model})}


class Grey(tf.Module):
    """Model that another run exported: it returns an image of one shade for each seed."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "seed")])
    def sample(self, seed):
        return {"image": tf.ones([1, 8, 8, 1]) * tf.cast(seed, tf.float32)[:, None, None, None] / 255}


@pytest.mark.usefixtures("_eager")
def test_a_run_leaves_a_served_model_a_report_and_figures(tiny, tmp_path, saved):
    grey = Grey()
    tf.saved_model.save(grey, tmp_path / "other" / "export" / "1", signatures={"sample": grey.sample})
    # A conditional model has the signatures of an unconditional one, with labels as inputs.
    recipe = tiny("model.conditional=true", f"evaluation.other_run={tmp_path / 'other'}", "evaluation.peers=null")
    outcome = runner.run(recipe, tmp_path / "run")
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    figures = results["model"]
    assert outcome["Result"].startswith(f"{figures['kid']:.2f} KID x 1000, {figures['fid']:.2f} FID, ")
    assert "on 12 held-out images (too few to judge a model by); Training images: " in outcome["Result"]
    assert list(results["baselines"]) == [
        "Training images",
        f"Samples of {tmp_path / 'other'}",
        "Mixture of 2 Bernoulli distributions",
    ]
    for values in (figures, *results["baselines"].values()):
        assert 0 <= values["precision"] <= 1
        assert set(values["classes"]) == {"lying", "standing"}
    assert results["baselines"]["Training images"]["fid"] < figures["fid"]
    assert figures["feature_network"]["kind"] == "classifier"
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert [section["heading"] for section in report["sections"]] == [
        *("", "Generated images", "Samples during training", "Nearest training images", "From one image to another"),
        *("One latent value at a time", "Against baselines", "Training", "Balance of generator and discriminator"),
        *("The data", "The machine"),
    ]
    assert report["sections"][2]["prose"] == ["The same samples after 3, 6 steps."]
    assert report["sections"][6]["prose"][0].startswith("12 held-out images are too few to judge a model by: ")
    assert figures["feature_network"]["sha256"][:16] in report["sections"][6]["prose"][1]
    with StockModel(tmp_path / "run" / "export" / "1") as model:
        drawn = model.run("sample", {"seed": [5, 5], "label": [1, 0]})
        decoded = model.run("decode", {"latents": [[0.5, -1.0, 2.0]], "label": [1]})["image"]
        scores = model.run("discriminate_bytes", {"image_bytes": list(drawn["image_bytes"]), "label": [1, 0]})
    picture = tf.io.decode_png(drawn["image_bytes"][0])
    np.testing.assert_array_equal(picture, np.rint(255 * drawn["image"][0]))
    assert not np.array_equal(drawn["image"][0], drawn["image"][1])
    assert scores["score"].shape == (2,)
    # The model that Keras loads generates the same images.
    again = saved(tmp_path / "run" / "models" / "gan.keras")
    expected = gan.unit_range(again.generate(tf.constant([[0.5, -1.0, 2.0]]), tf.one_hot([1], 2)))
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-5)
    assert not re.search("mnist|digit", (tmp_path / "run" / "report" / "report.json").read_text(), re.IGNORECASE)


def test_the_discriminator_sees_images_in_the_range_of_the_generators(built):
    task, preprocessing, splits, _ = built("model.conditional=true")
    (stage,) = task.stages(preprocessing)
    feed = stage.feed(splits, {})
    batch = next(iter(feed.train(3, WHOLE)))
    images, labels = splits["train"].array("image"), splits["train"].labels
    np.testing.assert_allclose(batch["x"], images[batch["id"]] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(batch["y"], np.eye(2)[labels[batch["id"]]])
    halves = [next(iter(feed.train(3, Shard(index, 2)))) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate([half["x"] for half in halves]), batch["x"])


def test_a_discriminator_that_has_won_ends_the_run_with_advice(tiny, tmp_path, monkeypatch):
    # Only the discriminator learns, with a high learning rate.
    overrides = [
        *("training.steps=60", "training.steps_per_epoch=15"),
        *("training.optimizers.discriminator.learning_rate=0.05", "model.r1=1e-6", "model.augmentation=[]"),
        *("training.optimizers.generator.learning_rate=1e-9", "model.hidden_size=16", "model.discriminator_width=4"),
    ]
    with pytest.raises(UserError, match=r"stage 'gan', for 2 epochs: the (discriminator has won|generator has coll)"):
        runner.run(tiny("training.trouble_patience=2", *overrides), tmp_path / "run")

    # With more patience, the run can be continued.
    def train(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner.phases, "train", train)
    with pytest.raises(KeyboardInterrupt):
        runner.run(tiny("training.trouble_patience=0", *overrides), tmp_path / "run")
    with pytest.raises(UserError, match=r"`training\.steps` must be at least 60, .*\. Received: training\.steps=59"):
        runner.run(tiny("training.trouble_patience=0", *overrides, "training.steps=59"), tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["evaluation.other_run={tmp_path}/none"],
            "must be the folder of a run with an export, .*Received: evaluation.other_run={tmp_path}/none$",
        ),
        (
            ["evaluation.mixture_components=49"],
            "must be at most the number of training images, 48. Received: evaluation.mixture_components=49; "
            "for so few images, add --set evaluation.mixture_components=4$",
        ),
    ],
)
def test_a_baseline_that_cannot_be_had_ends_the_run_before_training(prepared, tmp_path, overrides, message):
    task, preprocessing, splits = prepared(*(override.format(tmp_path=tmp_path) for override in overrides))
    (stage,) = task.stages(preprocessing)
    with pytest.raises(UserError, match=message.format(tmp_path=tmp_path)):
        stage.feed(splits, {})


def test_too_few_images_to_compare_end_the_run_before_training(prepared):
    task, preprocessing, splits = prepared()
    (stage,) = task.stages(preprocessing)
    with pytest.warns(UserWarning, match=r"^12 held-out images are too few to judge .*`data\.source\.splits` may give"):
        assert stage.feed(splits, {}).units_per_step == 8
    with pytest.raises(UserError, match=r"^`test` must have at least 8 images"):
        stage.feed(splits | {"test": dataclasses.replace(splits["test"], examples=7)}, {})


@pytest.mark.usefixtures("_eager")
def test_images_without_classes_are_measured_by_a_network_without(built):
    task, preprocessing, splits, model = built("data.source.label_feature=null")
    figures = task.evaluate(preprocessing, splits, {STAGE: model})
    assert figures["feature_network"]["kind"] == "self-supervised"
    assert "classes" not in figures
    assert "trained without classes" in task.about_comparison({"model": figures})[1]
    assert "label" not in served(task, preprocessing, model)["sample"].inputs


def test_rows_depend_on_nothing_but_themselves(built, row_by_row):
    task, preprocessing, splits, model = built()
    images = splits["test"].array("image")[:3]
    rows, outputs = row_by_row(served(task, preprocessing, model), images)
    np.testing.assert_allclose(outputs["discriminate_bytes"]["score"], outputs["discriminate"]["score"], rtol=1e-5)
    expected = model.discriminator(gan.scaled(images), training=False)[:, 0]
    np.testing.assert_allclose(outputs["discriminate"]["score"], expected, rtol=1e-4, atol=1e-6)
    expected = gan.unit_range(model.generate(tf.constant(rows["latents"])))
    np.testing.assert_allclose(outputs["decode"]["image"], expected, rtol=1e-5)

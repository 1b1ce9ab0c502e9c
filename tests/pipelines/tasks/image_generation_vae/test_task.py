import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines import runner
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import bernoulli
from ikelos.pipelines.image import binary
from ikelos.pipelines.tasks.image_generation_vae.task import STAGE
from ikelos.serving import StockModel

# Networks of which the graphs are small. `tests/pipelines/image/test_vae.py` is about the networks.
SMALLEST = ("model.num_blocks=0", "model.prior.num_couplings=1")


def served(task, preprocessing, model):
    return {signature.name: signature for signature in task.signatures(preprocessing, {STAGE: model})}


@pytest.mark.usefixtures("_eager")
@pytest.mark.parametrize(
    ("conditional", "overrides"),
    [
        # A conditional model has the signatures of an unconditional one, with labels as inputs.
        (True, ("model.conditional=true",)),
        pytest.param(False, (), marks=pytest.mark.slow),
    ],
)
def test_a_run_leaves_a_served_model_a_report_and_figures(tiny, tmp_path, saved, conditional, overrides):
    workdir = tmp_path / "run"
    outcome = runner.run(tiny(*overrides, *SMALLEST), workdir)
    results = json.loads((workdir / "evaluation.json").read_text())
    figures = results["model"]
    assert outcome["Result"].startswith(f"{figures['nats_per_image']:.2f} nats per image, ")
    assert (
        " active units on 12 held-out images (bound of 5 samples); Independent pixels, first 40 images: "
        in outcome["Result"]
    )
    assert set(figures["classes"]) == {"lying", "standing"}
    assert figures["bits_per_pixel"] == pytest.approx(figures["nats_per_image"] / np.log(2) / 64)
    assert 0 <= figures["active_units"] <= 3
    report = json.loads((workdir / "report" / "report.json").read_text())
    assert [section["heading"] for section in report["sections"]] == [
        *("", "Generated images", "Nearest training images", "Reconstructions", "From one image to another"),
        *("One latent value at a time", "Against baselines and peers", "By class", "Training"),
        *("Use of the latent space", "The data", "The machine"),
    ]
    assert "nobody" in report["sections"][6]["prose"][1]
    history = [json.loads(line) for line in (workdir / "stages/vae/history.jsonl").read_text().splitlines()]
    epochs = [record for record in history if record["event"] == "epoch"]
    assert {"validation_nll", "validation_kl", "validation_active_units"} <= set(epochs[0])
    assert (workdir / "stages/vae" / epochs[-1]["picture"]).is_file()
    latents = np.array([[0.5, -1.0, 2.0], [0.0, 1.0, -0.5]], np.float32)
    with StockModel(workdir / "export" / "1") as model:
        label = {"label": [1, 0]} if conditional else {}
        decoded = model.run("decode", {"latents": latents, **label})["image"]
        drawn = model.run("sample", {"seed": [5, 5], **label})
        scored = model.run("serving_default", {"image_bytes": list(drawn["image_bytes"]), "seed": [0, 1], **label})
    picture = tf.io.decode_png(drawn["image_bytes"][0])
    np.testing.assert_array_equal(picture, np.rint(255 * drawn["image"][0]))
    assert np.isfinite(scored["anomaly_score"]).all()
    # The model that Keras loads generates the same images.
    again = saved(workdir / "models" / "vae.keras")
    expected = again.decode(latents, tf.one_hot([1, 0], 2) if conditional else None)
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-5)
    # With the same seed, only the class differs.
    assert np.array_equal(drawn["image"][0], drawn["image"][1]) != conditional


def test_evaluation_is_the_bound_of_the_fixed_pixels(built):
    task, preprocessing, splits, model = built(
        "evaluation.num_samples=400", "evaluation.samples_at_once=100", *SMALLEST
    )
    model.compile("sgd", jit_compile=False)
    figures = task.evaluate(preprocessing, splits, {STAGE: model})
    pixels = binary.fixed_pixels(splits["test"]).astype("float32")
    nats = -model.log_likelihood(pixels, 400, seed=77).numpy()
    # Two bounds with 400 samples of an untrained model, whose importance weights vary little.
    assert figures["nats_per_image"] == pytest.approx(nats.mean(), abs=0.1)
    found, labels = task.by_example(figures), splits["test"].labels
    np.testing.assert_allclose(found.totals, nats, atol=0.5)
    assert np.average(found.totals, weights=found.weights) == pytest.approx(figures["nats_per_image"], rel=1e-12)
    lying = np.average(found.totals[labels == 0], weights=found.weights[labels == 0])
    assert lying == pytest.approx(figures["classes"]["lying"]["nats_per_image"], rel=1e-12)
    # One sample for each image; the other bound has 200.
    single = -model.log_likelihood(np.tile(pixels, [200, 1, 1, 1]), 1, seed=78).numpy().reshape(200, 12)
    deviation = float(np.sqrt(single.var(0).sum())) / 12
    assert figures["negative_elbo"] == pytest.approx(single.mean(), abs=4 * deviation)
    assert single.mean() > figures["nats_per_image"]
    assert figures["negative_elbo"] == figures["nll"] + figures["kl"]
    classes = figures["classes"]
    mean = (classes["lying"]["nats_per_image"] + classes["standing"]["nats_per_image"]) / 2
    assert mean == pytest.approx(figures["nats_per_image"])
    assert set(figures["nearest_training_image"]) == {"samples", "test"}


def test_baselines_are_measured_on_the_same_pixels(prepared):
    task, preprocessing, splits = prepared()
    train, test = binary.fixed_pixels(splits["train"]), binary.fixed_pixels(splits["test"])
    assert len(train) == 48 > task.config.evaluation.mixture_images == 40
    results = task.baselines(preprocessing, splits)
    assert list(results) == [
        "Independent pixels, first 40 images",
        "Mixture of 2 Bernoulli distributions, first 40 images",
    ]
    for components, figures in enumerate(results.values(), 1):
        fitted = bernoulli.fit(train[:40], components)
        expected = -fitted.log_probabilities(test).mean()
        assert figures["nats_per_image"] == pytest.approx(expected)
        assert set(figures["classes"]) == {"lying", "standing"}


def test_a_mixture_of_more_components_than_images_is_refused_before_training(prepared):
    task, preprocessing, splits = prepared("evaluation.mixture_components=49", "evaluation.mixture_images=49")
    (stage,) = task.stages(preprocessing)
    with pytest.raises(
        UserError, match=r"training images, 48\. Received: evaluation\.mixture_components=49; .* add --set .*=4$"
    ):
        stage.feed(splits, {})


@pytest.mark.usefixtures("_eager")
def test_images_without_classes(built):
    task, preprocessing, splits, model = built("data.source.label_feature=null", *SMALLEST)
    model.compile("sgd", jit_compile=False)
    assert task.evaluate(preprocessing, splits, {STAGE: model})["classes"] == {}
    assert "label" not in served(task, preprocessing, model)["sample"].inputs


# All that the plain model does, the other one does too, and takes labels.
@pytest.mark.parametrize("conditional", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_rows_depend_on_nothing_but_themselves(built, row_by_row, conditional):
    task, preprocessing, splits, model = built(f"model.conditional={str(conditional).lower()}", *SMALLEST)
    signatures = served(task, preprocessing, model)
    assert all(("label" in signature.inputs) == conditional for signature in signatures.values())
    _, outputs = row_by_row(signatures, splits["test"].array("image")[:3])
    # Files and arrays of the same images give the same results.
    for of_files, of_numbers in (
        ("encode_bytes", "encode"),
        ("reconstruct_bytes", "reconstruct"),
        ("serving_default", "score"),
    ):
        for key in outputs[of_files].keys() - {"image_bytes"}:
            np.testing.assert_allclose(outputs[of_files][key], outputs[of_numbers][key], rtol=1e-5)

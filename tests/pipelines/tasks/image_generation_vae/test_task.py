import json

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines import runner
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import bernoulli
from ikelos.pipelines.tasks.image_generation_vae import task
from ikelos.serving import StockModel


def served(config, assets, model):
    return {signature.name: signature for signature in task.signatures(config, assets, {task.STAGE: model})}


@pytest.mark.parametrize(
    ("conditional", "overrides"), [(False, ()), (True, ("model.conditional=true", "model.prior={kind: normal}"))]
)
def test_a_run_leaves_a_served_model_a_report_and_figures(tiny, tmp_path, conditional, overrides):
    workdir = tmp_path / "run"
    outcome = runner.run(tiny(*overrides), workdir)
    results = json.loads((workdir / "evaluation.json").read_text())
    figures = results["model"]
    assert f"{figures['nats_per_image']:.2f} nats per image (bound of 5 samples) on 12 held-out" in outcome["Result"]
    assert set(figures["classes"]) == {"lying", "standing"}
    assert figures["bits_per_pixel"] == pytest.approx(figures["nats_per_image"] / np.log(2) / 64)
    assert 0 <= figures["active_units"] <= 3
    page = (workdir / "report" / "report.html").read_text()
    for words in ("What it draws", "Does it copy?", "Is the latent space used?", "nobody", "standing"):
        assert words in page
    history = [json.loads(line) for line in (workdir / "stages/vae/history.jsonl").read_text().splitlines()]
    epochs = [record for record in history if record["event"] == "epoch"]
    assert {"validation_nll", "validation_kl", "validation_active_units"} <= set(epochs[0])
    assert (workdir / "stages/vae" / epochs[-1]["picture"]).is_file()
    with StockModel(workdir / "export" / "1") as model:
        label = {"label": [1, 0]} if conditional else {}
        drawn = model.run("sample", {"seed": [5, 5], **label})
        scored = model.run("serving_default", {"image_bytes": list(drawn["image_bytes"]), "seed": [0, 1], **label})
    picture = tf.io.decode_png(drawn["image_bytes"][0])
    np.testing.assert_array_equal(picture, np.rint(255 * drawn["image"][0]))
    assert np.isfinite(scored["anomaly_score"]).all()
    # The same seed: what differs is the class.
    assert np.array_equal(drawn["image"][0], drawn["image"][1]) != conditional


def test_evaluation_is_the_bound_of_the_fixed_pixels(prepared):
    config, assets, model = prepared("evaluation.num_samples=400", "evaluation.samples_at_once=100")
    model.compile("sgd")
    figures = task.evaluate(config, assets, {task.STAGE: model})
    pixels = assets.fixed["test"].pixels.astype("float32")
    nats = -model.log_likelihood(pixels, 400, seed=77).numpy()
    # Two bounds of 400 samples of an untrained model, whose weights vary little.
    assert figures["nats_per_image"] == pytest.approx(nats.mean(), abs=0.1)
    # One sample for each image, of which the other bound has 200.
    single = -model.log_likelihood(np.tile(pixels, [200, 1, 1, 1]), 1, seed=78).numpy().reshape(200, 12)
    deviation = float(np.sqrt(single.var(0).sum())) / 12
    assert figures["negative_elbo"] == pytest.approx(single.mean(), abs=4 * deviation)
    assert single.mean() > figures["nats_per_image"]
    assert figures["negative_elbo"] == figures["nll"] + figures["kl"]
    assert figures["images"] == 12
    classes = figures["classes"]
    assert classes["lying"]["images"] == 6
    mean = (classes["lying"]["nats_per_image"] + classes["standing"]["nats_per_image"]) / 2
    assert mean == pytest.approx(figures["nats_per_image"])


def test_baselines_are_measured_on_the_same_pixels(prepared):
    config, assets, _ = prepared()
    results = task.baselines(config, assets)
    assert list(results) == ["Independent pixels", "Mixture of 2 Bernoulli distributions"]
    for components, figures in enumerate(results.values(), 1):
        fitted = bernoulli.fit(assets.fixed["train"].pixels, components)
        expected = -fitted.log_probabilities(assets.fixed["test"].pixels).mean()
        assert figures["nats_per_image"] == pytest.approx(expected)
        assert set(figures["classes"]) == {"lying", "standing"}


def test_a_model_without_a_likelihood_is_an_error(prepared):
    config, assets, model = prepared()
    last = model.decoder.trainable_weights[-1]
    last.assign(np.full(last.shape, np.nan))
    with pytest.raises(FloatingPointError, match=rf"likelihood of image {assets.fixed['test'].ids[0]} is nan"):
        task.evaluate(config, assets, {task.STAGE: model})


def test_a_mixture_of_more_components_than_images_is_refused_before_training(prepared):
    with pytest.raises(UserError, match=r"evaluation.mixture_components=49 .* 48 training images; --set"):
        prepared("evaluation.mixture_components=49")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_changed_images_are_refused(prepared, tmp_path, split):
    config, _, _ = prepared()
    file = tmp_path / split / "lying" / "00.png"
    file.write_bytes((tmp_path / split / "lying" / "01.png").read_bytes())
    with pytest.raises(UserError, match=rf"split '{split}' .* run in {tmp_path} .*--workdir"):
        task.load_assets(config, tmp_path / "assets")


def test_images_without_classes(prepared):
    config, assets, model = prepared("data.source.label_feature=null")
    model.compile("sgd")
    assert task.evaluate(config, assets, {task.STAGE: model})["classes"] == {}
    assert "label" not in served(config, assets, model)["sample"].inputs


@pytest.mark.parametrize("conditional", [False, True])
def test_rows_depend_on_nothing_but_themselves(prepared, conditional):
    config, assets, model = prepared(f"model.conditional={str(conditional).lower()}")
    pixels = assets.splits["test"].pixels[:3]
    rows = {
        "image": (pixels / 255).astype("float32"),
        "image_bytes": np.array([tf.io.encode_png(image).numpy() for image in pixels], object),
        "latents": np.random.default_rng(0).normal(size=[3, 3]).astype("float32"),
        "label": np.array([0, 1, 0]),
        "seed": np.array([3, 2**40, -1]),
    }
    for signature in served(config, assets, model).values():
        inputs = {name: tf.constant(rows[name], spec.dtype) for name, spec in signature.inputs.items()}
        together = signature.function(**inputs)
        for row in range(3):
            alone = signature.function(**{name: value[row : row + 1] for name, value in inputs.items()})
            for name, value in alone.items():
                if name != "image_bytes":
                    np.testing.assert_allclose(value[0], together[name][row], rtol=1e-4, atol=1e-5)


def test_files_and_shades_are_the_same_images(prepared):
    config, assets, model = prepared()
    signatures = served(config, assets, model)
    pixels = assets.splits["test"].pixels[:3]
    files = tf.constant([tf.io.encode_png(image).numpy() for image in pixels])
    shades, seed = tf.constant(pixels / 255, tf.float32), tf.constant([1, 2, 3], tf.int64)
    for by_files, by_shades, others in (
        ("encode_bytes", "encode", {}),
        ("reconstruct_bytes", "reconstruct", {}),
        ("serving_default", "score", {"seed": seed}),
    ):
        left = signatures[by_files].function(image_bytes=files, **others)
        right = signatures[by_shades].function(image=shades, **others)
        for name in left.keys() - {"image_bytes"}:
            np.testing.assert_allclose(left[name], right[name], rtol=1e-5)
    # Of another size, brought to the model's.
    large = tf.io.encode_jpeg(tf.repeat(tf.repeat(pixels[0], 3, axis=0), 3, axis=1))
    assert signatures["encode_bytes"].function(image_bytes=large[None])["latents"].shape == (1, 3)


def test_an_unknown_class_is_named(prepared):
    config, assets, model = prepared("model.conditional=true")
    sample = served(config, assets, model)["sample"].function
    with pytest.raises(tf.errors.InvalidArgumentError, match="`label` must be between 0 and 1"):
        sample(seed=tf.constant([1], tf.int64), label=tf.constant([2], tf.int64))

import contextlib
import functools
import json
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE, Shard
from ikelos.pipelines.evaluation import feature_network
from ikelos.pipelines.lock import locked

SHAPE = (8, 8, 1)
CLASSES = ("lying", "standing")


def bars(seed, number):
    """Returns images of horizontal and vertical bars."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, [number, *SHAPE]).astype(np.uint8)
    labels = np.arange(number) % 2
    for index, image in enumerate(images):
        (image if labels[index] == 0 else image.transpose(1, 0, 2))[generator.integers(1, 7)] = 230
    return {"image": images, "label": labels}


@pytest.fixture(scope="module", autouse=True)
def short():
    """Shortens the training to a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        changes = {"steps": 80, "steps_per_epoch": 80, "batch_size": 32, "checkpoint_every": 80}
        patch.setattr(feature_network, "TRAINING", feature_network.TRAINING.model_copy(update=changes))
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def stored(store_of):
    """Returns the same images as a store."""
    return functools.cache(lambda seed, number: store_of(bars(seed, number)))


@pytest.fixture(scope="module")
def network(stored):
    def load(cache, classes=CLASSES, fingerprint="bars"):
        return feature_network.load_or_train(stored(0, 64), stored(1, 20), classes, SHAPE, fingerprint, cache)

    return load


@pytest.fixture(scope="module")
def classifier(network, cache):
    return network(cache)


@pytest.fixture(scope="module")
def self_supervised(network, cache):
    return network(cache, classes=())


@pytest.fixture
def untrainable(monkeypatch):
    """Makes every training step fail."""

    def fail(self, x, *args, **kwargs):
        raise AssertionError("trains")

    monkeypatch.setattr(keras.Model, "fit", fail)


@pytest.mark.parametrize(
    ("images", "images_per_step", "steps"),
    [(8, 64, 300), (96, 64, 300), (97, 64, 304), (500, 128, 782), (768, 128, 1200), (8000, 128, 1200)],
)
def test_few_images_get_fewer_steps(monkeypatch, images, images_per_step, steps):
    monkeypatch.setattr(feature_network, "TRAINING", feature_network.TRAINING.model_copy(update={"steps": 1200}))
    assert feature_network._steps(images, images_per_step) == steps


def test_a_classifier_learns_the_classes(classifier):
    about = classifier.about
    assert json.loads(json.dumps(about)) == about
    assert {**about, "sha256": len(about["sha256"])} == {
        "kind": "classifier",
        "sha256": 64,
        "held_out_accuracy": 1.0,
        "training_images": 64,
        "fingerprint": "bars",
    }
    test = bars(2, 40)
    predictions = classifier.predictions(test["image"])
    assert predictions.dtype == np.int64
    np.testing.assert_array_equal(predictions, test["label"])


def test_without_classes_views_of_one_image_are_found(self_supervised):
    assert self_supervised.about["kind"] == "self-supervised"
    # Chance would be 1 in 31.
    assert self_supervised.about["held_out_accuracy"] > 0.1
    images = bars(2, 5)["image"]
    assert self_supervised.features(images).shape == (5, 64)
    with pytest.raises(ValueError, match=r"Only a classifier predicts classes\. Received: a self-supervised network"):
        self_supervised.predictions(images)


def test_a_single_class_tells_nothing(network, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_network, "fit", lambda stage, *_: stage.build({}))  # the kind is known by then
    found = network(tmp_path, classes=("bars",))
    assert found.about["kind"] == "self-supervised"
    with pytest.raises(ValueError, match="Only a classifier predicts classes"):
        found.predictions(bars(2, 5)["image"])


def test_the_loss_without_classes_is_nt_xent(stored, self_supervised):
    feed = feature_network._feed(stored(0, 64), stored(1, 6), SHAPE, "self-supervised")
    (batch,) = feed.validation
    assert batch["x"].shape == (12, *SHAPE)
    model = self_supervised.model
    projections = keras.Model(model.input, model.layers[-1].input)(batch["x"]).numpy()
    z = projections / np.linalg.norm(projections, axis=1, keepdims=True)
    similarity = np.exp(z @ z.T / feature_network._TEMPERATURE)
    pairs = [(i, (i + 6) % 12) for i in range(12)]
    expected = [-np.log(similarity[i, j] / (similarity[i].sum() - similarity[i, i])) for i, j in pairs]
    logits = model(batch["x"])["outputs"]
    found = keras.losses.sparse_categorical_crossentropy(batch["y"], logits, from_logits=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_views_are_of_the_same_image_and_differ(stored):
    (batch,) = feature_network._feed(stored(0, 64), stored(1, 16), SHAPE, "self-supervised").validation
    x = batch["x"].numpy().reshape(32, -1)
    np.testing.assert_array_equal(batch["y"], [*range(16, 32), *range(16)])
    assert not np.isclose(x[:16], x[16:]).all(1).any()
    likeness = np.corrcoef(x)
    of_one_image = likeness[np.arange(32), batch["y"]].mean()
    assert of_one_image > likeness[~np.eye(32, dtype=bool)].mean() + 0.2


@pytest.mark.parametrize("kind", ["classifier", "self-supervised"])
def test_a_step_has_the_same_batch_wherever_training_began(stored, kind):
    feed = feature_network._feed(stored(0, 64), stored(1, 20), SHAPE, kind)
    (later,), (third,) = feed.train(2, WHOLE).take(1), feed.train(0, WHOLE).skip(2).take(1)
    assert later["x"].shape == (32, *SHAPE)
    for name, values in third.items():
        np.testing.assert_array_equal(later[name], values)


@pytest.mark.parametrize("kind", ["classifier", "self-supervised"])
def test_the_shards_of_a_batch_are_the_batch(stored, kind):
    feed = feature_network._feed(stored(0, 64), stored(1, 20), SHAPE, kind)
    whole, *halves = (next(iter(feed.train(3, shard))) for shard in (WHOLE, Shard(0, 2), Shard(1, 2)))
    if kind == "classifier":
        for name, values in whole.items():
            np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), values)
        return
    for name in ("id", "x"):
        first, second = (np.concatenate([np.split(half[name], 2)[view] for half in halves]) for view in (0, 1))
        np.testing.assert_array_equal(np.concatenate([first, second]), whole[name])
    for half in halves:
        np.testing.assert_array_equal(half["y"], [*range(8, 16), *range(8)])


@pytest.mark.parametrize("kind", ["classifier", "self_supervised"])
def test_a_second_call_trains_nothing_and_gives_the_same_bits(request, network, cache, untrainable, kind):
    first = request.getfixturevalue(kind)
    again = network(cache, classes=CLASSES if kind == "classifier" else ())
    images = bars(2, 10)["image"]
    np.testing.assert_array_equal(again.features(images), first.features(images))
    assert again.about == first.about


def test_the_seed_alone_decides_the_weights(network, classifier, tmp_path):
    assert network(tmp_path).about == classifier.about


@pytest.mark.parametrize("changed", [{"fingerprint": "others"}, {"classes": ("a", "b")}])
def test_other_data_trains_anew(network, cache, classifier, untrainable, changed):
    with pytest.raises(AssertionError, match="trains"):
        network(cache, **changed)


def test_of_two_processes_one_waits(network, cache, classifier):
    done = threading.Event()
    with contextlib.ExitStack() as stack:
        for folder in cache.iterdir():
            stack.enter_context(locked(folder))
        waiting = threading.Thread(target=lambda: (network(cache), done.set()), daemon=True)
        waiting.start()
        assert not done.wait(0.5)
    assert done.wait(30)


@pytest.mark.parametrize("kind", ["classifier", "self_supervised"])
def test_features_are_standardised_over_the_validation_images(request, kind):
    features = request.getfixturevalue(kind).features(bars(1, 20)["image"])
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-4)
    assert features.var(0).max() == pytest.approx(1, abs=1e-3)
    assert np.median(features.var(0)) == pytest.approx(1, abs=1e-3)


def test_images_are_bytes_or_shades_at_once_or_in_batches(classifier, monkeypatch):
    monkeypatch.setattr(feature_network, "_AT_ONCE", 4)
    images = bars(2, 10)["image"]
    features = classifier.features(images)
    assert features.shape == (10, 64)
    assert features.dtype == np.float32
    for same in (images / 255, tf.constant(images), tf.cast(images, tf.float32) / 255):
        np.testing.assert_allclose(classifier.features(same), features, rtol=1e-4, atol=1e-5)
    batches = (batch["image"] for batch in tf.data.Dataset.from_tensor_slices({"image": images}).batch(3))
    np.testing.assert_allclose(classifier.features(batches), features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros([2, 8, 9, 1]), r"\[N,8,8,1\]. Received: \(2, 8, 9, 1\)"),
        (np.full([2, *SHAPE], -1.0), r"in \[0, 1\]. Received: float64 from -1.0 to -1.0"),
        (np.full([2, *SHAPE], np.nan), "from nan to nan"),
        (np.full([2, *SHAPE], 255), "int64 from 255 to 255"),
    ],
)
def test_images_of_another_shape_or_range_are_refused(classifier, images, message):
    with pytest.raises(ValueError, match=message):
        classifier.features(images)


@pytest.mark.parametrize("shape", [(4, 4, 1), (28, 28, 1), (33, 47, 3), (128, 128, 3)])
@pytest.mark.parametrize("num_classes", [0, 5])
def test_the_network_fits_images_of_every_size(shape, num_classes):
    model = feature_network._build(shape, num_classes)
    assert model.get_layer("features").output.shape == (None, 64)
    assert model(np.zeros([3, *shape], "float32")).shape == (3, num_classes or 3)

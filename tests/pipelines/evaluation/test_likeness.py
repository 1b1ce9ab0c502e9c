import dataclasses

import numpy as np
import pytest

from ikelos.pipelines.errors import UserError
from ikelos.pipelines.evaluation import class_balance, feature_network, frechet_distance, likeness, precision_recall


class Corners:
    """Feature network whose features are the corners of an image, and whose classes depend on its brightness."""

    about = {"kind": "classifier"}

    def features(self, images):
        return images[:, [0, 0, -1, -1], [0, -1, 0, -1], 0] / np.float32(255)

    def predictions(self, images):
        return (images.mean((1, 2, 3)) > 127).astype(np.int64)


@pytest.fixture
def splits(store_of):
    def store(seed, number):
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, [number, 4, 4, 1]).astype(np.uint8)
        return store_of({"image": images, "label": np.arange(number) % 2})

    return {"train": store(0, 40), "validation": store(1, 10), "test": store(2, 30)}


@pytest.fixture
def comparison(splits, monkeypatch, tmp_path):
    asked = []

    def load(*arguments):
        asked.append(arguments)
        return Corners()

    monkeypatch.setattr(feature_network, "load_or_train", load)

    def make(most=100):
        return likeness.Comparison(splits, ("dark", "bright"), (4, 4, 1), most, tmp_path)

    make.asked = asked
    return make


def test_figures_are_those_of_their_functions_on_sets_of_one_size(comparison, splits):
    found = comparison(20)
    assert found.number == 20
    images = np.random.default_rng(3).integers(0, 200, [20, 4, 4, 1]).astype(np.uint8)
    figures = found.figures(images)
    test = splits["test"].array("image")
    chosen = np.sort(np.random.default_rng(0).permutation(30)[:20])
    features, reference = Corners().features(images), Corners().features(test[chosen])
    assert figures["fid"] == pytest.approx(frechet_distance.between(features, reference))
    expected = precision_recall.between(features, reference)
    assert (figures["precision"], figures["recall"]) == (expected.precision, expected.recall)
    predictions = Corners().predictions(images)
    balance = class_balance.compared(predictions, np.array([0.5, 0.5]), ("dark", "bright"))
    assert figures["classes"] == balance["classes"]
    assert figures["images"] == 20
    assert {metric.name for metric in likeness.METRICS} <= set(figures)


def test_no_more_images_are_compared_than_there_are(comparison):
    assert comparison().number == 30


def test_training_images_are_nearer_than_noise(comparison):
    found = comparison()
    noise = np.zeros([30, 4, 4, 1], np.uint8)
    asked = []

    def sample(number):
        asked.append(number)
        return noise

    assert found.of_training_images()["fid"] < found.of_samples(sample, 2.0)["fid"]
    assert found.of_samples(sample, 2.0)["minutes"] == 2.0
    assert asked == [30, 30]


def test_the_network_is_of_the_training_and_validation_images(comparison, splits):
    comparison()
    comparison()
    ((*stores, classes, shape, one, _), (*_, other, _)) = comparison.asked
    assert stores == [splits["train"], splits["validation"]]
    assert (classes, shape, one) == (("dark", "bright"), (4, 4, 1), other)


def test_few_images_are_warned_of():
    assert likeness.caution(99).startswith("99 held-out images are too few to judge a model by: with fewer than 100, ")
    assert likeness.caution(100) == ""


@pytest.mark.parametrize("split", ["train", "test"])
def test_too_few_images_to_compare_are_refused(splits, split):
    likeness.check_number(splits | {split: dataclasses.replace(splits[split], examples=8)})
    with pytest.raises(UserError, match=rf"^`{split}` must have at least 8 images to compare with\. Received: 7$"):
        likeness.check_number(splits | {split: dataclasses.replace(splits[split], examples=7)})

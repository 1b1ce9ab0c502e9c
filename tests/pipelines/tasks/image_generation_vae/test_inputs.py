import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.tasks.image_generation_vae import inputs
from ikelos.pipelines.tasks.image_generation_vae.config import Augmentation

STILL = {"rotation": 0.0, "zoom": 0.0, "shear": 0.0, "shift": 0.0}


def test_fixed_pixels_depend_on_the_id_alone():
    shades = np.full([3, 40, 40, 1], 64, np.uint8)
    pixels = inputs.fixed_pixels(["a", "b", "a"], shades)
    np.testing.assert_array_equal(pixels[0], pixels[2])
    assert (pixels[0] != pixels[1]).any()
    assert set(np.unique(pixels)) == {0, 1}
    # 64 / 255 of 3200 pixels, within four deviations.
    assert pixels[:2].mean() == pytest.approx(64 / 255, abs=4 * (0.25 * 0.75 / 3200) ** 0.5)
    for shade in (0, 255):
        np.testing.assert_array_equal(inputs.fixed_pixels(["a"], np.full_like(shades[:1], shade)), shade // 255)


def batches(config, split, start, number):
    return [
        {key: np.asarray(value) for key, value in batch.items()}
        for batch in inputs.training(config, split, start).take(number)
    ]


def test_training_batches_are_a_function_of_the_step(prepared):
    config, assets, _ = prepared()
    whole = batches(config, assets.splits["train"], 0, 8)
    resumed = batches(config, assets.splits["train"], 5, 3)
    for there, here in zip(whole[5:], resumed, strict=True):
        for key, value in there.items():
            np.testing.assert_array_equal(here[key], value)
    assert sorted(np.concatenate([batch["id"] for batch in whole[:6]])) == list(range(48))
    assert set(np.unique(whole[0]["x"])) == {0, 1}
    np.testing.assert_array_equal(whole[0]["sample_weight"], np.ones(8))
    # An image seen again has other pixels.
    first, again = (
        {i: x for b in part for i, x in zip(b["id"], b["x"], strict=True)} for part in (whole[:6], whole[6:])
    )
    assert all((first[i] != again[i]).any() for i in again)


def test_a_conditional_model_is_given_the_classes(prepared):
    config, assets, _ = prepared("model.conditional=true")
    for batch in (
        next(iter(inputs.training(config, assets.splits["train"], 0))),
        next(iter(inputs.in_order(config, assets.fixed["test"]))),
    ):
        pixels, classes = batch["x"]
        assert pixels.shape[1:] == (8, 8, 1)
        split = assets.splits["train"] if len(pixels) == 8 else assets.fixed["test"]
        np.testing.assert_array_equal(tf.argmax(classes, axis=1), split.labels[batch["id"]])


def test_evaluation_sees_every_image_once_and_unmoved(prepared):
    config, assets, _ = prepared()
    seen = list(inputs.in_order(config, assets.fixed["test"]))
    np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in seen]), assets.fixed["test"].pixels)
    np.testing.assert_array_equal(np.concatenate([batch["id"] for batch in seen]), range(12))


def spot(height, width):
    """Images of one soft spot, whose middle is easy to find."""
    y, x = np.mgrid[:31, :31]
    image = np.exp(-((x - width) ** 2 + (y - height) ** 2) / 8)
    return tf.constant(np.tile(image, [400, 1, 1])[..., None], tf.float32)


def middle(images):
    y, x = np.mgrid[:31, :31] - 15.0
    weights = images.numpy()[..., 0] / images.numpy().sum((1, 2, 3))[:, None, None]
    return (weights * x).sum((1, 2)), (weights * y).sum((1, 2))


def test_images_are_moved_by_as_much_as_asked():
    def right_and_down(**settings):
        return middle(inputs.moved(spot(15, 23), Augmentation(**STILL | settings), tf.constant([1, 2])))

    # A sample deviation of 400 is off by 1 / sqrt(800), 4% of it.
    x, y = right_and_down(rotation=5.0)
    np.testing.assert_allclose(np.hypot(x, y), 8, atol=0.05)
    assert np.degrees(np.arctan2(y, x)).std() == pytest.approx(5, rel=0.15)
    x, y = right_and_down(shift=0.5)
    assert (x - 8).std() == pytest.approx(0.5, rel=0.15)
    assert y.std() == pytest.approx(0.5, rel=0.15)
    x, y = right_and_down(zoom=0.1)
    assert np.log(x / 8).std() == pytest.approx(0.1, rel=0.15)
    np.testing.assert_allclose(y, 0, atol=1e-4)
    below = inputs.moved(spot(23, 15), Augmentation(**STILL | {"shear": 0.1}), tf.constant([1, 2]))
    x, y = middle(below)
    assert (x / 8).std() == pytest.approx(0.1, rel=0.15)
    np.testing.assert_allclose(y, 8, atol=1e-3)


def test_without_augmentation_nothing_moves(prepared):
    images = spot(9, 20)
    still = inputs.moved(images, Augmentation(**STILL), tf.constant([1, 2]))
    np.testing.assert_allclose(still, images, atol=1e-6)
    still = ", ".join(f"{name}: {value}" for name, value in STILL.items())
    config, assets, _ = prepared(f"data.augmentation={{{still}}}")
    full = dataclasses.replace(assets.splits["train"], pixels=assets.fixed["train"].pixels * np.uint8(255))
    (batch,) = batches(config, full, 0, 1)
    np.testing.assert_array_equal(batch["x"], assets.fixed["train"].pixels[batch["id"]])

import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.image import binary
from ikelos.pipelines.image.config import Augmentation
from ikelos.pipelines.image.reading import Images

MOVES = Augmentation(rotation=3.0, zoom=0.02, shear=0.0, shift=0.2)
STILL = Augmentation(rotation=0.0, zoom=0.0, shear=0.0, shift=0.0)


def fixed_pixels(ids, pixels):
    return binary.fixed(Images(ids, {"image": pixels}, ())).pixels


def test_fixed_pixels_depend_on_the_id_alone():
    shades = np.full([3, 40, 40, 1], 64, np.uint8)
    pixels = fixed_pixels(["a", "b", "a"], shades)
    np.testing.assert_array_equal(pixels[0], pixels[2])
    assert (pixels[0] != pixels[1]).any()
    assert set(np.unique(pixels)) == {0, 1}
    # 64 / 255 of 3200 pixels, within four deviations.
    assert pixels[:2].mean() == pytest.approx(64 / 255, abs=4 * (0.25 * 0.75 / 3200) ** 0.5)
    for shade in (0, 255):
        np.testing.assert_array_equal(fixed_pixels(["a"], np.full_like(shades[:1], shade)), shade // 255)


def batches(images, start, number, augmentation=MOVES, num_classes=0):
    return list(binary.training(images, augmentation, 5, 0, start, num_classes).take(number).as_numpy_iterator())


def test_training_batches_are_a_function_of_the_step(bars):
    whole, resumed = batches(bars, 0, 8), batches(bars, 5, 3)
    for there, here in zip(whole[5:], resumed, strict=True):
        for key, value in there.items():
            np.testing.assert_array_equal(here[key], value)
    assert sorted(np.concatenate([batch["id"] for batch in whole[:6]])) == list(range(30))
    assert set(np.unique(whole[0]["x"])) == {0, 1}
    np.testing.assert_array_equal(whole[0]["sample_weight"], np.ones(5))
    # An image seen again has other pixels.
    first, again = (
        {i: x for b in part for i, x in zip(b["id"], b["x"], strict=True)} for part in (whole[:6], whole[6:])
    )
    assert all((first[i] != again[i]).any() for i in again)


def test_a_conditional_model_is_given_the_classes(bars):
    for batch in (*batches(bars, 0, 1, num_classes=2), next(iter(binary.in_order(bars, 4, 2)))):
        pixels, classes = batch["x"]
        assert pixels.shape[1:] == (8, 8, 1)
        np.testing.assert_array_equal(tf.argmax(classes, axis=1), bars.labels[batch["id"]])


def test_evaluation_sees_every_image_once_and_unmoved(bars):
    fixed = binary.fixed(bars)
    seen = list(binary.in_order(fixed, 7, 0))
    np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in seen]), fixed.pixels)
    np.testing.assert_array_equal(np.concatenate([batch["id"] for batch in seen]), range(30))


def test_without_augmentation_black_and_white_stay(bars):
    fixed = binary.fixed(bars)
    (batch,) = batches(fixed.with_pixels(fixed.pixels * np.uint8(255)), 0, 1, STILL)
    np.testing.assert_array_equal(batch["x"], fixed.pixels[batch["id"]])

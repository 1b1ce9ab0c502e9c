import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE, Shard
from ikelos.pipelines.errors import UserError
from ikelos.pipelines.image import binary
from ikelos.pipelines.image.config import Augmentation

MOVES = Augmentation(rotation=3.0, zoom=0.02, shear=0.0, shift=0.2)
STILL = Augmentation(rotation=0.0, zoom=0.0, shear=0.0, shift=0.0)


def test_fixed_pixels_depend_on_the_id_alone():
    shades = np.full([3, 40, 40, 1], 64, np.uint8)
    pixels = binary.fixed(["a", "b", "a"], shades)
    np.testing.assert_array_equal(pixels[0], pixels[2])
    assert (pixels[0] != pixels[1]).any()
    assert set(np.unique(pixels)) == {0, 1}
    # 64 / 255 of 3200 pixels, within four deviations.
    assert pixels[:2].mean() == pytest.approx(64 / 255, abs=4 * (0.25 * 0.75 / 3200) ** 0.5)
    for shade in (0, 255):
        np.testing.assert_array_equal(binary.fixed(["a"], np.full_like(shades[:1], shade)), shade // 255)


def test_a_store_has_the_pixels_of_its_names(store_of):
    names = ["zwölf.png", "a.png"]
    store = store_of({"image": np.full([2, 8, 8, 1], 128, np.uint8)}, names)
    pixels = binary.fixed(names, store.array("image"))
    assert set(np.unique(pixels)) == {0, 1}
    np.testing.assert_array_equal(binary.fixed_pixels(store), pixels)
    (batch,) = binary.in_order(store, 2, 0)
    np.testing.assert_array_equal(batch["x"], pixels)


def batches(images, start, number, augmentation=MOVES, num_classes=0, size=5, shard=WHOLE):
    dataset = binary.training(images, augmentation, size, 0, start, shard, num_classes)
    return list(dataset.take(number).as_numpy_iterator())


def test_training_batches_are_a_function_of_the_step(bars):
    whole, resumed = batches(bars, 0, 8), batches(bars, 5, 3)
    for there, here in zip(whole[5:], resumed, strict=True):
        for key, value in there.items():
            np.testing.assert_array_equal(here[key], value)
    assert sorted(np.concatenate([batch["id"] for batch in whole[:6]])) == list(range(30))
    assert set(np.unique(whole[0]["x"])) == {0, 1}
    np.testing.assert_array_equal(whole[0]["sample_weight"], np.ones(5))
    # An image has other pixels in the next epoch.
    first, again = (
        {i: x for b in part for i, x in zip(b["id"], b["x"], strict=True)} for part in (whole[:6], whole[6:])
    )
    assert all((first[i] != again[i]).any() for i in again)


@pytest.mark.parametrize("augmentation", [MOVES, STILL])
@pytest.mark.parametrize("count", [2, 3])
def test_the_shards_of_a_batch_are_the_batch(bars, augmentation, count):
    whole = batches(bars, 1, 3, augmentation, 2, 6)
    shards = [batches(bars, 1, 3, augmentation, 2, 6, Shard(index, count)) for index in range(count)]
    for expected, *parts in zip(whole, *shards, strict=True):
        for key in ("id", "y", "sample_weight"):
            np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), expected[key], strict=True)
        for place in (0, 1):
            together = np.concatenate([part["x"][place] for part in parts])
            np.testing.assert_array_equal(together, expected["x"][place], strict=True)


def test_a_batch_that_cannot_be_shared_equally_is_refused(bars):
    with pytest.raises(UserError, match=r"`batch_size` must be a multiple .*, 2\. .*batch_size=5"):
        batches(bars, 0, 1, shard=Shard(0, 2))


def test_a_conditional_model_is_given_the_classes(bars):
    for batch in (*batches(bars, 0, 1, num_classes=2), next(iter(binary.in_order(bars, 4, 2)))):
        pixels, classes = batch["x"]
        assert pixels.shape[1:] == (8, 8, 1)
        np.testing.assert_array_equal(tf.argmax(classes, axis=1), bars.labels[batch["id"]])


def test_evaluation_sees_every_image_once_and_unmoved(bars):
    seen = list(binary.in_order(bars, 7, 0))
    assert [batch["x"].shape for batch in seen] == [(7, 8, 8, 1)] * 4 + [(2, 8, 8, 1)]
    pixels = binary.fixed(list(bars.ids), bars.array("image"))
    np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in seen]), pixels)
    np.testing.assert_array_equal(binary.fixed_pixels(bars), pixels)
    np.testing.assert_array_equal(binary.fixed_pixels(bars, 3), pixels[:3])
    np.testing.assert_array_equal(np.concatenate([batch["id"] for batch in seen]), range(30))


def test_without_augmentation_black_and_white_stay(bars, store_of):
    pixels = binary.fixed_pixels(bars)
    (batch,) = batches(store_of({"image": pixels * np.uint8(255)}), 0, 1, STILL)
    np.testing.assert_array_equal(batch["x"], pixels[batch["id"]])


def test_a_pixel_is_white_where_its_number_is_below_its_shade():
    shades = tf.constant([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_array_equal(binary.drawn(shades, tf.constant([0.0, 0.2, 0.5, 0.999])), [0, 1, 0, 1])

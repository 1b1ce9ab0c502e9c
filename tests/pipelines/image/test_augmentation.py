import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.image.augmentation import moved
from ikelos.pipelines.image.config import Augmentation

STILL = {"rotation": 0.0, "zoom": 0.0, "shear": 0.0, "shift": 0.0}


def spot(height, width):
    """Returns images of one soft spot, whose centre is easy to find."""
    y, x = np.mgrid[:31, :31]
    image = np.exp(-((x - width) ** 2 + (y - height) ** 2) / 8)
    return tf.constant(np.tile(image, [400, 1, 1])[..., None], tf.float32)


NORMALS = tf.random.stateless_normal([6, 400], [1, 2])


def middle(images):
    y, x = np.mgrid[:31, :31] - 15.0
    weights = images.numpy()[..., 0] / images.numpy().sum((1, 2, 3))[:, None, None]
    return (weights * x).sum((1, 2)), (weights * y).sum((1, 2))


def test_images_are_moved_by_as_much_as_asked():
    def right_and_down(**settings):
        return middle(moved(spot(15, 23), Augmentation(**STILL | settings), NORMALS))

    # The standard error of a deviation from 400 samples is 1 / sqrt(800), 4% of it.
    x, y = right_and_down(rotation=5.0)
    np.testing.assert_allclose(np.hypot(x, y), 8, atol=0.05)
    assert np.degrees(np.arctan2(y, x)).std() == pytest.approx(5, rel=0.15)
    x, y = right_and_down(shift=0.5)
    assert (x - 8).std() == pytest.approx(0.5, rel=0.15)
    assert y.std() == pytest.approx(0.5, rel=0.15)
    x, y = right_and_down(zoom=0.1)
    assert np.log(x / 8).std() == pytest.approx(0.1, rel=0.15)
    np.testing.assert_allclose(y, 0, atol=1e-4)
    below = moved(spot(23, 15), Augmentation(**STILL | {"shear": 0.1}), NORMALS)
    x, y = middle(below)
    assert (x / 8).std() == pytest.approx(0.1, rel=0.15)
    np.testing.assert_allclose(y, 8, atol=1e-3)


def test_without_augmentation_nothing_moves():
    images = spot(9, 20)
    np.testing.assert_allclose(moved(images, Augmentation(**STILL), NORMALS), images, atol=1e-6)


def test_an_image_is_moved_by_its_own_numbers():
    settings = Augmentation(rotation=5.0, zoom=0.1, shear=0.1, shift=0.5)
    images = spot(9, 20)
    whole = moved(images, settings, NORMALS)
    rows = tf.constant([3, 399, 0], tf.int64)
    some = moved(tf.gather(images, rows), settings, NORMALS, rows)
    np.testing.assert_array_equal(some, tf.gather(whole, rows))  # bit by bit

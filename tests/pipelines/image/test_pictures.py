import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.image import binary, pictures


@pytest.mark.parametrize("at_once", [7, 100, 1024])
def test_nearest_is_the_least_euclidean_distance(monkeypatch, at_once):
    monkeypatch.setattr(pictures, "_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    images, training = (rng.integers(0, 256, [number, 4, 4, 1]).astype(np.uint8) for number in (300, 30))
    images[3] = training[11]
    place, distance = pictures.nearest(images, training)
    brute = np.sqrt((((images[:, None] / 255.0) - training / 255.0) ** 2).sum((2, 3, 4)))
    np.testing.assert_array_equal(place, brute.argmin(1))
    np.testing.assert_allclose(distance, brute.min(1), atol=2e-3)
    assert place[3] == 11
    assert place.dtype == np.int64


def test_of_several_as_near_the_first_is_the_nearest(monkeypatch):
    monkeypatch.setattr(pictures, "_AT_ONCE", 2)
    place, distance = pictures.nearest(np.zeros([1, 2, 2, 1], "uint8"), np.full([5, 2, 2, 1], 255, "uint8"))
    assert (place.tolist(), distance.tolist()) == ([0], [2.0])


def sampling(model):
    return lambda number, condition: model.sample(number, condition, seed=0)


def test_samples_are_the_same_each_time(models):
    grid = pictures.grid(sampling(models[0]), 3, 0)
    assert grid.shape == (3, 3, 8, 8, 1)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid, pictures.grid(sampling(models[0]), 3, 0))


def test_conditional_samples_have_a_class_a_column(models):
    latents = models[2].prior.distribution().sample(9, seed=tf.constant([0, 0]))
    expected = models[2].decode(latents, tf.one_hot([0, 1, 0, 0, 1, 0, 0, 1, 0], 2))
    grid = pictures.grid(sampling(models[2]), 3, 2)
    np.testing.assert_array_equal(grid.reshape(9, 8, 8, 1), pictures.to_uint8(expected))


@pytest.fixture(scope="module")
def seen(bars):
    """Returns the pixels, float32, and the classes of the images."""
    return binary.fixed_pixels(bars).astype("float32"), tf.one_hot(bars.labels, 2)


def test_walks_begin_and_end_at_reconstructions(models, seen):
    means = models[0].encode(seen[0]).numpy()
    rows = pictures.walks(models[0].decode, means[:2], means[2:4], 5)
    rebuilt = pictures.to_uint8(models[0].reconstruct(seen[0]))
    # Shades may differ by one, because batches of another size may add numbers in another order.
    np.testing.assert_allclose(rows[:, 0].astype(int), rebuilt[:2], atol=1)
    np.testing.assert_allclose(rows[:, -1].astype(int), rebuilt[2:4], atol=1)


def test_traversals_move_one_value(models, seen):
    pixels, classes = seen
    means = models[2].encode((pixels, classes)).numpy()
    rows = pictures.traversals(models[2].decode, means, 2, 5, classes)
    unit = means.var(0).argmax()
    latents = means[:1].copy()
    latents[0, unit] = means[:, unit].mean() - 2 * means[:, unit].std()
    expected = pictures.to_uint8(models[2].decode(latents, classes[:1]))
    np.testing.assert_allclose(rows[0, 0].astype(int), expected[0], atol=1)
    assert rows.shape == (2, 5, 8, 8, 1)

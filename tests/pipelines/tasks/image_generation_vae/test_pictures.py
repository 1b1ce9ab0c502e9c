import numpy as np
import tensorflow as tf

from ikelos.pipelines.tasks.image_generation_vae import pictures


def test_nearest_is_the_least_euclidean_distance():
    rng = np.random.default_rng(0)
    images, training = (rng.integers(0, 256, [number, 4, 4, 1]).astype(np.uint8) for number in (300, 30))
    images[3] = training[11]
    place, distance = pictures.nearest(images, training)
    brute = np.sqrt((((images[:, None] / 255.0) - training / 255.0) ** 2).sum((2, 3, 4)))
    np.testing.assert_array_equal(place, brute.argmin(1))
    np.testing.assert_allclose(distance, brute.min(1), atol=2e-3)
    assert place[3] == 11


def test_samples_are_the_same_each_time(prepared):
    _, _, model = prepared()
    grid = pictures.samples(model, 3)
    assert grid.shape == (3, 3, 8, 8, 1)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid, pictures.samples(model, 3))


def test_conditional_samples_have_a_class_a_column(prepared):
    _, _, model = prepared("model.conditional=true")
    latents = model.prior.distribution().sample(9, seed=tf.constant([0, 0]))
    expected = model.decode(latents, tf.one_hot([0, 1, 0, 0, 1, 0, 0, 1, 0], 2))
    np.testing.assert_array_equal(pictures.samples(model, 3, 2).reshape(9, 8, 8, 1), pictures.shades(expected))


def test_walks_begin_and_end_at_reconstructions(prepared):
    _, assets, model = prepared()
    pixels = assets.fixed["test"].pixels
    rows = pictures.walks(model, pixels[:2], pixels[2:4], 5)
    rebuilt = pictures.reconstructions(model, assets.splits["test"].pixels, pixels)[2]
    # Rounded to shades from sums that batches of another size may add in another order.
    np.testing.assert_allclose(rows[:, 0].astype(int), rebuilt[:2], atol=1)
    np.testing.assert_allclose(rows[:, -1].astype(int), rebuilt[2:4], atol=1)


def test_traversals_move_one_value(prepared):
    _, assets, model = prepared("model.conditional=true")
    classes = tf.one_hot(assets.fixed["test"].labels, 2)
    pixels = assets.fixed["test"].pixels
    rows = pictures.traversals(model, pixels, 2, 5, classes)
    means = model.encode((pixels.astype("float32"), classes)).numpy()
    unit = means.var(0).argmax()
    latents = means[:1].copy()
    latents[0, unit] = means[:, unit].mean() - 2 * means[:, unit].std()
    expected = pictures.shades(model.decode(latents, classes[:1]))
    np.testing.assert_allclose(rows[0, 0].astype(int), expected[0], atol=1)
    assert rows.shape == (2, 5, 8, 8, 1)

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import DifferentiableAugmentation
from ikelos.layers.adversarial.differentiable_augmentation import change_color, cut_out, translate
from ikelos.layers.testing import check_layer


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=[3, 7, 6, 3]).astype("float32")


def test_keeps_a_layers_promises(images):
    check_layer(DifferentiableAugmentation, {"policy": ("cutout", "color"), "seed": 3}, images)


def test_color_is_the_formula(images):
    brightness, saturation, contrast = np.array([[-0.5, 0, 0.3], [0, 2, 0.4], [0.5, 1, 1.4]])
    for i, changed in enumerate(change_color(images, *map(tf.constant, (brightness, saturation, contrast)))):
        expected = images[i].astype("float64") + brightness[i]
        grey = expected.mean(axis=-1, keepdims=True)
        expected = saturation[i] * expected + (1 - saturation[i]) * grey
        expected = contrast[i] * expected + (1 - contrast[i]) * expected.mean()
        np.testing.assert_allclose(changed, expected, rtol=0, atol=2e-6)


def test_translation_is_a_cut_from_a_padded_image(images):
    down, right = [2, -3, 0], [-1, 0, 6]
    padded = np.pad(images, [(0, 0), (8, 8), (8, 8), (0, 0)])
    expected = [padded[i, 8 - down[i] : 15 - down[i], 8 - right[i] : 14 - right[i]] for i in range(3)]
    np.testing.assert_array_equal(translate(images, tf.constant(down), tf.constant(right)), expected)


def test_cutout_is_a_rectangle_of_half_the_size():
    images = np.ones([4, 8, 7, 2], "float32")
    cut = cut_out(images, tf.constant([4, 0, 8, 7]), tf.constant([3, 3, 0, 6])).numpy()
    expected = images.copy()
    expected[0, 2:6, 1:5] = 0
    expected[1, :2, 1:5] = 0
    expected[2, 6:, :2] = 0
    expected[3, 5:, 4:] = 0
    np.testing.assert_array_equal(cut, expected)


def test_draws_the_papers_ranges():
    images = np.random.default_rng(0).uniform(1, 2, [2000, 16, 8, 1]).astype("float32")

    def augmented(policy):
        return DifferentiableAugmentation((policy,), seed=1)(images, training=True).numpy()[..., 0]

    moved = augmented("translation")
    # Rows that moved in above or below: as often -2 as 2 pixels, and each of the five as often as another.
    above, below = ((moved[:, rows] == 0).all(2).sum(1) for rows in (slice(0, 8), slice(8, None)))
    np.testing.assert_allclose(np.bincount(above - below + 2), 400, atol=5 * 18)
    assert set((moved == 0).all(1).sum(1)) == {0, 1}
    areas = (augmented("cutout") == 0).sum((1, 2))
    assert areas.max() == 8 * 4
    assert areas.min() == 4 * 2
    colored = augmented("color")
    # Of one channel the saturation is nothing; the brightness moves the mean, the contrast scales the rest.
    brightness = colored.mean((1, 2)) - images.mean((1, 2, 3))
    contrast = colored.std((1, 2)) / images.std((1, 2, 3))
    for values, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5)):
        assert low - 1e-4 < values.min() < low + 0.01
        assert high - 0.01 < values.max() < high + 1e-4
        assert abs(values.mean() - (low + high) / 2) < 5 * 0.29 / np.sqrt(2000)


def test_each_image_and_each_call_has_changes_of_its_own():
    images = np.ones([2, 16, 16, 3], "float32") * np.linspace(0.5, 1, 16, dtype="float32")[:, None]
    layer, again = (DifferentiableAugmentation(seed=5) for _ in range(2))
    first, second = layer(images, training=True), layer(images, training=True)
    assert np.abs(first[0] - first[1]).max() > 0.1
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(again(images, training=True), first)
    np.testing.assert_array_equal(layer(images), images)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_lets_gradients_through(images, jit_compile):
    layer = DifferentiableAugmentation(seed=2)
    weights = np.random.default_rng(1).normal(size=images.shape).astype("float32")

    @tf.function(jit_compile=jit_compile)
    def loss_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * weights)
        return loss, tape.gradient(loss, x)

    before, gradient = loss_and_gradient(tf.constant(images))
    # The changes are affine, so that a finite step, with the same draws, shows the exact slope.
    layer.seed_generator.state.assign([2, 0])
    step = np.random.default_rng(2).normal(size=images.shape).astype("float32")
    after, _ = loss_and_gradient(tf.constant(images + step))
    assert abs(after - before) > 0.1
    np.testing.assert_allclose(tf.reduce_sum(gradient * step), after - before, rtol=1e-4)


@pytest.mark.parametrize("change", [change_color, translate, cut_out])
def test_changes_are_the_same_under_xla(images, change):
    arguments = [[0.3, 0.7, 1.9]] * 3 if change is change_color else [[2, -1, 6], [0, 3, -2]]
    arguments = [tf.constant(images), *map(tf.constant, arguments)]
    compiled = tf.function(change, jit_compile=True)(*arguments)
    np.testing.assert_allclose(compiled, change(*arguments), rtol=0, atol=1e-5)


def test_half_precision_keeps_its_dtype(images):
    layer = DifferentiableAugmentation(seed=2, dtype="mixed_bfloat16")
    half = layer(images, training=True)
    assert half.dtype == tf.bfloat16
    whole = DifferentiableAugmentation(seed=2)(images, training=True)
    np.testing.assert_allclose(tf.cast(half, tf.float32), whole, rtol=0, atol=4 * 2.0**-8 * np.abs(whole).max())


def test_errors(images):
    with pytest.raises(ValueError, match=r"`policy` must be a sequence of names among .* Received: policy='color'"):
        DifferentiableAugmentation("color")
    with pytest.raises(ValueError, match=r"Received: policy=\('colour',\)"):
        DifferentiableAugmentation(("colour",))
    with pytest.raises(ValueError, match=r"must have the shape \[B,height,width,channels\]. Received: .*\(7, 6, 3\)"):
        DifferentiableAugmentation()(keras.ops.ones((7, 6, 3)))
    with pytest.raises(ValueError, match=r"`inputs` must be floats around 0. Received: inputs.dtype=.*uint8"):
        DifferentiableAugmentation()(images.astype("uint8"))

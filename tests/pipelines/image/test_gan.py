import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from ikelos.pipelines.image import gan
from ikelos.pipelines.image.config import GAN, halvings


def settings(**changes):
    sizes = {"latent_size": 3, "generator_width": 2, "discriminator_width": 2, "max_width": 4, "num_blocks": 1}
    training = {"loss": "non_saturating", "r1": 0.1, "r1_interval": 2, "augmentation": ("translation", "cutout")}
    rest = {"hidden_size": 5, "ema_momentum": 0.9, "discriminator_steps": 1, "conditional": False}
    return GAN(**sizes | training | rest | changes)


def trained(model, shape, num_classes=0):
    """Returns the model after two steps on bright images."""
    model.compile(generator_optimizer="adam", discriminator_optimizer="adam", run_eagerly=True)
    images = np.random.default_rng(0).uniform(0, 1, [8, *shape]).astype("float32")
    data = (images, np.eye(num_classes, dtype="float32")[np.arange(8) % num_classes]) if num_classes else (images,)
    model.fit(*data, batch_size=4, verbose=0)
    return model


@pytest.mark.parametrize(("shape", "coarsest"), [((28, 28, 1), (7, 7)), ((32, 48, 3), (4, 6)), ((128, 128, 3), (4, 4))])
def test_shapes(shape, coarsest):
    model = trained(gan.build(settings(), shape, 0, seed=0), shape)
    samples = model.sample(3, seed=1).numpy()
    assert samples.shape == (3, *shape)
    assert np.abs(samples).max() <= 1
    assert model.discriminator(samples).shape == (3, 1)
    assert model.generator.get_layer(index=2).output.shape[1:3] == coarsest


def test_every_weight_is_trained():
    model = gan.build(settings(conditional=True), (8, 8, 1), 2, seed=0)
    before = [weight.numpy() for weight in model.trainable_variables]
    trained(model, (8, 8, 1), num_classes=2)
    # The first convolution of a block that begins as the identity is updated from the second step on.
    still = [
        weight.path
        for old, weight in zip(before, model.trainable_variables, strict=True)
        if np.array_equal(old, weight.numpy())
    ]
    assert not still


def test_the_discriminator_scores_each_sample_alone():
    discriminator = gan.build(settings(), (8, 8, 1), 0, seed=0).discriminator
    samples = np.random.default_rng(0).normal(size=[5, 8, 8, 1]).astype("float32")
    alone = np.concatenate([discriminator(sample[None], training=True) for sample in samples])
    np.testing.assert_allclose(discriminator(samples, training=True), alone, atol=1e-6)


def test_both_are_told_the_class():
    model = trained(gan.build(settings(conditional=True), (8, 8, 1), 2, seed=0), (8, 8, 1), num_classes=2)
    latents, classes = tf.zeros([2, 3]), tf.eye(2)
    first, second = model.generate(latents, classes).numpy()
    assert np.abs(first - second).max() > 1e-3
    same = tf.repeat(first[None], 2, axis=0)
    first, second = model.discriminator([same, classes]).numpy()
    assert np.abs(first - second).max() > 1e-5


def test_the_seed_decides_latents_and_augmentation():
    model = gan.build(settings(), (8, 8, 1), 0, seed=3)
    assert (model.seed, model.augmentation.seed) == (3, 3)


def test_a_saved_model_makes_the_same_images(tmp_path):
    model = trained(gan.build(settings(conditional=True), (8, 8, 1), 2, seed=0), (8, 8, 1), num_classes=2)
    model.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    condition = tf.eye(2)
    np.testing.assert_array_equal(loaded.sample(2, 1, condition), model.sample(2, 1, condition))
    assert loaded.augmentation.policy == ("translation", "cutout")


def test_without_augmentation_and_blocks():
    model = gan.build(settings(augmentation=(), num_blocks=0), (8, 12, 3), 0, seed=0)
    assert model.augmentation is None
    assert trained(model, (8, 12, 3)).sample(2, seed=0).shape == (2, 8, 12, 3)


@pytest.mark.parametrize(
    ("sides", "count"), [((28, 28), 2), ((64, 64), 4), ((8, 64), 1), ((36, 100), 2), ((44, 20), 2)]
)
def test_halvings(sides, count):
    assert halvings((*sides, 1)) == count


@pytest.mark.parametrize("sides", [(27, 28), (28, 6), (2, 2)])
def test_sides_that_cannot_be_halved(sides):
    with pytest.raises(ValueError, match="even, and at least 8"):
        halvings((*sides, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_width": 1}, "`max_width` must be at least both widths, 2"),
        ({"augmentation": ("cutout", "cutout")}, "`augmentation` must name each change once"),
        ({"augmentation": ("rotation",)}, "augmentation"),
        ({"loss": "wasserstein"}, "loss"),
        ({"r1": 0.0}, "r1"),
    ],
)
def test_settings_that_do_not_fit_together(changes, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        settings(**changes)

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.image import binary, vae

SHAPE = (8, 8, 1)


@pytest.mark.parametrize(("prior", "num_samples"), [pytest.param("vamp", 1, marks=pytest.mark.slow), ("flow", 2)])
def test_learns(bars, settings, prior, num_samples):
    keras.utils.set_random_seed(0)
    model = vae.build(settings(prior, num_samples=num_samples), SHAPE, 0)
    vae.initialize(model, bars.array("image"), seed=0)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    pixels = binary.fixed_pixels(bars).astype("float32")
    before = model.evaluate(pixels, verbose=0, return_dict=True)["loss"]
    model.fit(pixels, epochs=10, batch_size=10, verbose=0)
    assert model.evaluate(pixels, verbose=0, return_dict=True)["loss"] < 0.95 * before


def test_pseudo_inputs_begin_as_training_images(bars, settings):
    model = vae.build(settings("vamp"), SHAPE, 0)
    vae.initialize(model, bars.array("image"), seed=3)
    training = {tuple(image.ravel()) for image in bars.array("image")}
    begun = {tuple(image.ravel()) for image in np.rint(255 * model.prior.pseudo_inputs.numpy()).astype(np.uint8)}
    assert len(begun) == 5
    assert begun <= training
    vae.initialize(model, bars.array("image")[:2], seed=3)  # fewer images than pseudo-inputs
    again = {tuple(image.ravel()) for image in np.rint(255 * model.prior.pseudo_inputs.numpy()).astype(np.uint8)}
    assert len(again) == 2
    model.prior.pseudo_inputs.assign(tf.fill(model.prior.pseudo_inputs.shape, 2.0))
    assert float(tf.reduce_max(model.prior.constraint(model.prior.pseudo_inputs))) == 1


def test_pseudo_inputs_are_saved_with_what_holds_them_in_range(settings, saved, tmp_path):
    model = vae.build(settings("vamp"), SHAPE, 0)
    model.save(tmp_path / "vae.keras")
    again = saved(tmp_path / "vae.keras")
    np.testing.assert_array_equal(again.prior.pseudo_inputs, model.prior.pseudo_inputs)
    assert float(again.prior.constraint(tf.constant(2.0))) == 1


def test_a_conditional_model_draws_by_class(models):
    drawn = models[2].decode(tf.zeros([2, 3]), tf.one_hot([0, 1], 2))
    assert drawn.shape == (2, 8, 8, 1)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


def test_other_shapes_no_blocks_and_a_plain_prior(settings):
    model = vae.build(settings("normal", num_blocks=0), (8, 12, 3), 0)
    vae.initialize(model, np.zeros([2, 8, 12, 3], np.uint8), seed=0)  # no part of this model is initialised with images
    assert model.sample(2).shape == (2, 8, 12, 3)
    assert model.prior.trainable_variables == []

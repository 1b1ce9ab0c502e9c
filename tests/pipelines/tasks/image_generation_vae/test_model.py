import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.tasks.image_generation_vae import model as models

PRIORS = {
    "normal": "{kind: normal}",
    "vamp": "{kind: vamp, num_components: 5}",
    "flow": "{kind: flow, num_couplings: 2, hidden_units: [4]}",
}


@pytest.mark.parametrize(("prior", "num_samples"), [("normal", 1), ("vamp", 1), ("flow", 2)])
def test_learns_with_every_prior(prepared, prior, num_samples):
    _, assets, model = prepared(f"model.prior={PRIORS[prior]}", f"model.num_samples={num_samples}")
    model.compile(keras.optimizers.Adam(0.01))
    pixels = assets.fixed["train"].pixels.astype("float32")
    before = model.evaluate(pixels, verbose=0, return_dict=True)["loss"]
    model.fit(pixels, epochs=8, batch_size=16, verbose=0)
    assert model.evaluate(pixels, verbose=0, return_dict=True)["loss"] < 0.95 * before


def test_pseudo_inputs_begin_as_training_images(prepared):
    _, assets, model = prepared(f"model.prior={PRIORS['vamp']}")
    training = {tuple(image.ravel()) for image in assets.splits["train"].pixels}
    begun = {tuple(image.ravel()) for image in np.rint(255 * model.prior.pseudo_inputs.numpy()).astype(np.uint8)}
    assert len(begun) == 5
    assert begun <= training
    model.prior.pseudo_inputs.assign(tf.fill(model.prior.pseudo_inputs.shape, 2.0))
    assert float(tf.reduce_max(model.prior.constraint(model.prior.pseudo_inputs))) == 1


def test_more_pseudo_inputs_than_images(prepared):
    _, _, model = prepared("model.prior={kind: vamp, num_components: 100}")
    assert model.prior.pseudo_inputs.shape == (100, 8, 8, 1)


def test_a_conditional_model_draws_by_class(prepared):
    _, _, model = prepared("model.conditional=true")
    classes = tf.one_hot([0, 1], 2)
    latents = tf.zeros([2, 3])
    drawn = model.decode(latents, classes)
    assert drawn.shape == (2, 8, 8, 1)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


def test_doubling_gives_the_four_pixels_of_each_place():
    inputs = keras.Input((3, 5, 2))
    doubled = keras.Model(inputs, models._doubled(inputs, 3, 1))
    images = np.random.default_rng(0).normal(size=[2, 3, 5, 2]).astype("float32")
    expected = tf.nn.depth_to_space(doubled.layers[1](images), 2)
    np.testing.assert_array_equal(doubled(images), expected)


def test_other_shapes_and_no_blocks(prepared):
    _, _, model = prepared("data.shape=[8, 12, 3]", "model.num_blocks=0")
    assert model.sample(2).shape == (2, 8, 12, 3)

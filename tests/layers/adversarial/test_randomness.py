import keras
import numpy as np
import pytest

from ikelos.layers import AdversarialModel, DifferentiableAugmentation


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=[8, 8, 8, 1]).astype("float32")


def adversaries(augmentation=True, **settings):
    """Returns a model of networks with dropout, in one of them nested, whose layers get no seed."""
    dropout, dense = keras.layers.Dropout, keras.layers.Dense
    inner = keras.Sequential([keras.Input((6,)), dropout(0.5), dense(64, "tanh")])
    generator = keras.Sequential([keras.Input((3,)), dense(6), inner, keras.layers.Reshape((8, 8, 1))])
    discriminator = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), dropout(0.5), dense(1)])
    changes = DifferentiableAugmentation(("cutout",)) if augmentation else None
    model = AdversarialModel(generator, discriminator, augmentation=changes, seed=1)
    model.compile("adam", "adam", **settings)
    return model


@pytest.mark.parametrize("settings", [{"run_eagerly": True}, {"jit_compile": False}], ids=["eager", "graph"])
def test_a_loaded_model_draws_what_the_saved_one_would_have(images, tmp_path, settings):
    model = adversaries(**settings)
    model.fit(images, batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded, other = keras.saving.load_model(tmp_path / "model.keras"), adversaries(**settings)
    other.load_weights(tmp_path / "model.weights.h5")
    for each in (model, loaded, other):
        each.fit(images, batch_size=4, shuffle=False, verbose=0)
    for each in (loaded, other):
        assert int(each.step) == 4
        for value, expected in zip(each.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)


def test_weights_of_a_model_with_fewer_random_layers_are_refused(tmp_path):
    adversaries(augmentation=False).save_weights(tmp_path / "model.weights.h5")
    # Dropout of the generator, of its average and of the discriminator.
    with pytest.raises(ValueError, match=r"must have the states of 4 random layers, .* Received: 3"):
        adversaries().load_weights(tmp_path / "model.weights.h5")

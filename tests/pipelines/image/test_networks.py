import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.pipelines.evaluation import feature_network
from ikelos.pipelines.image import gan, networks, vae
from ikelos.pipelines.image.config import GAN


def test_doubling_gives_the_four_pixels_of_each_place():
    inputs = keras.Input((3, 5, 2))
    doubled = keras.Model(inputs, networks.doubled(inputs, 3, 1))
    images = np.random.default_rng(0).normal(size=[2, 3, 5, 2]).astype("float32")
    expected = tf.nn.depth_to_space(doubled.layers[1](images), 2)
    np.testing.assert_array_equal(doubled(images), expected)


def test_blocks_begin_as_the_identity():
    inputs = keras.Input((4, 4, 3))
    blocks = keras.Model(inputs, networks.residual_blocks(inputs, 2, dropout=0.5))
    images = np.random.default_rng(0).normal(size=[2, 4, 4, 3]).astype("float32")
    np.testing.assert_array_equal(blocks(images), images)
    assert len(blocks.trainable_variables) == 8


def test_classes_stand_behind_the_hidden_values():
    inputs = keras.Input((2,))
    assert networks.with_classes(inputs, inputs, 0) == (inputs, inputs)
    told, hidden = networks.with_classes(inputs, inputs, 3)
    np.testing.assert_array_equal(keras.Model(told, hidden)([np.ones([1, 2]), np.eye(3)[:1]]), [[1, 1, 1, 0, 0]])


SHAPE = (8, 12, 3)


def generative_adversarial():
    sizes = {"latent_size": 3, "generator_width": 2, "discriminator_width": 2, "max_width": 4, "num_blocks": 1}
    training = {"loss": "hinge", "r1": 0.1, "r1_interval": 1, "augmentation": (), "discriminator_steps": 1}
    return gan.build(GAN(**sizes, **training, hidden_size=5, ema_momentum=0.9, conditional=False), SHAPE, 0, seed=0)


@pytest.mark.parametrize("network", ["autoencoder", "generator", "discriminator", "features"])
def test_images_have_their_channels_last_whatever_keras_is_told(network, settings):
    build = {
        "autoencoder": lambda: vae.build(settings("normal"), SHAPE, 0),
        "generator": lambda: generative_adversarial().generator,
        "discriminator": lambda: generative_adversarial().discriminator,
        "features": lambda: feature_network._build(SHAPE, 2),
    }[network]
    x = np.random.default_rng(0).uniform(size=[2, 3] if network == "generator" else [2, *SHAPE]).astype("float32")
    outputs = []
    for data_format in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(data_format)
        try:
            keras.utils.set_random_seed(0)
            outputs.append(build()(x))
        finally:
            keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(*outputs)

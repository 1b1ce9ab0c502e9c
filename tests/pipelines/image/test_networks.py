import keras
import numpy as np
import tensorflow as tf

from ikelos.pipelines.image import networks


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

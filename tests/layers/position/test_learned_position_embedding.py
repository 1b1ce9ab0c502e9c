import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LearnedPositionEmbedding
from ikelos.layers.testing import check_layer


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_keeps_a_layers_promises():
    arguments = {"max_length": 9, "embeddings_initializer": "glorot_normal"}
    positions = np.array([[0, 1, 2, 3, 4], [7, 8, 1, 3, 3]], "int32")
    check_layer(LearnedPositionEmbedding, arguments, normal([2, 5, 6]), call_kwargs={"positions": positions})
    check_layer(LearnedPositionEmbedding, arguments, normal([2, 5, 6]))


def test_adds_each_positions_vector():
    x, layer = normal([2, 4, 3]), LearnedPositionEmbedding(6, embeddings_initializer=keras.initializers.RandomNormal(1))
    outputs = layer(x)
    vectors = layer.embeddings.numpy()
    assert vectors.shape == (6, 3)
    np.testing.assert_array_equal(outputs, x + vectors[:4])
    positions = np.array([[5, 0, 1, 1], [2, 3, 4, 5]])
    np.testing.assert_array_equal(layer(x, positions), x + vectors[positions])
    np.testing.assert_array_equal(layer(x, positions[0]), x + vectors[positions[0]])


def test_learns_the_vectors_of_the_positions_that_came():
    layer = LearnedPositionEmbedding(5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(normal([7, 3, 2]), np.array([0, 3, 3])))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.embeddings.value))
    np.testing.assert_array_equal(gradient, [[7, 7], [0, 0], [0, 0], [14, 14], [0, 0]])


def test_half_precision_tells_positions_apart_and_rounds_once():
    table = np.arange(600.0)[:, None] * [[1 / 4, 0.5]]
    layer = LearnedPositionEmbedding(600, lambda shape, dtype: tf.constant(table, dtype), dtype="mixed_bfloat16")
    x = tf.cast(normal([1, 600, 2]), tf.bfloat16)
    expected = tf.cast(tf.cast(x, tf.float32) + table, tf.bfloat16)
    np.testing.assert_array_equal(layer(x), expected)


def test_masks_pass():
    model = keras.Sequential([keras.layers.Embedding(5, 6, mask_zero=True), LearnedPositionEmbedding(3)])
    outputs = model(np.array([[1, 2, 0], [3, 0, 0]]))
    assert outputs._keras_mask.numpy().tolist() == [[True, True, False], [True, False, False]]


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: max_length=0"):
        LearnedPositionEmbedding(0)
    with pytest.raises(ValueError, match=r"at most `max_length`=3 positions. Received: inputs.shape=\(1, 4, 2\)"):
        LearnedPositionEmbedding(3)(np.ones([1, 4, 2]))


def test_a_position_without_a_vector_is_an_error():
    layer = LearnedPositionEmbedding(3)
    layer(np.ones([1, 3, 2]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="3 is not in"):
        layer(np.ones([1, 1, 2]), np.array([3]))
    unknown = tf.function(layer, input_signature=[tf.TensorSpec([None, None, 2])])
    with pytest.raises(tf.errors.InvalidArgumentError, match="3 is not in"):
        unknown(np.ones([1, 4, 2], "float32"))

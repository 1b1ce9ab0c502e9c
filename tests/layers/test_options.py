import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import options


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(2)])
def test_positive_integers(value):
    options.check_positive(size=value)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None, np.float32(2), [1]])
def test_other_sizes_are_refused(value):
    with pytest.raises(ValueError, match=r"`size` must be a positive integer. Received: size="):
        options.check_positive(size=value)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(2), np.int64(3)])
def test_weights_that_are_numbers(value):
    assert options.deserialized(options.serialized(options.weight("beta", value))) == value


@pytest.mark.parametrize(
    "value",
    [-1e-6, float("nan"), float("inf"), True, None, "1", [1.0], tf.constant(1.0), tf.Variable(1), tf.Variable([1.0])],
)
def test_other_weights_are_refused(value):
    with pytest.raises(ValueError, match=r"`beta` must be a number of at least 0, or a scalar .* Received: beta="):
        options.weight("beta", value)


@pytest.mark.parametrize("kind", [keras.Variable, tf.Variable])
def test_variables_come_back_as_variables_of_their_kind(kind):
    variable = kind(0.25)
    assert options.weight("beta", variable) is variable
    config = json.loads(json.dumps(options.serialized(variable)))
    again = options.deserialized(config)
    assert isinstance(again, kind)
    assert not again.trainable
    again.assign(0.75)
    assert (float(variable), float(again)) == (0.25, 0.75)


def test_a_keras_variable_is_not_trained():
    class Weighted(keras.layers.Layer):
        def __init__(self, weight):
            super().__init__()
            self.weight = options.weight("weight", weight)

    layer = Weighted(keras.Variable(1.0))
    assert layer.trainable_variables == []
    assert layer.non_trainable_variables == [layer.weight]


@pytest.mark.parametrize("seed", [None, 3, np.int64(3), (1, 2), tf.constant([1, 2]), tf.constant(5, tf.int64)])
def test_seeds(seed):
    options.check_draw(4, seed)


@pytest.mark.parametrize("seed", [1.5, True, "a", (1, 2, 3), (1.0, 2.0), tf.constant(1.0)])
def test_other_seeds_are_refused(seed):
    with pytest.raises(ValueError, match=r"`seed` must be an int or two ints. Received: seed="):
        options.check_draw(4, seed)

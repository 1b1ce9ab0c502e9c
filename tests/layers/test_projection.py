import keras
import numpy as np

from ikelos.layers.projection import projection


def test_is_built_without_a_bias_in_its_owners_policy():
    owner = keras.layers.Layer(dtype="mixed_bfloat16")
    layer = projection(owner, "first", [None, 5], 7, keras.initializers.GlorotUniform())
    (kernel,) = layer.weights
    assert (layer.name, layer.dtype_policy.name, kernel.shape) == ("first", "mixed_bfloat16", (5, 7))


def test_two_of_one_initializer_start_unequal():
    initializer = keras.initializers.GlorotUniform()
    first, second = (projection(keras.layers.Layer(), name, [None, 5], 7, initializer) for name in ("first", "second"))
    assert np.abs(first.kernel - second.kernel).max() > 0.1

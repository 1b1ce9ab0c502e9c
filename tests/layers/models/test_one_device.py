import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import Normal, StandardNormalPrior, VariationalAutoencoder
from ikelos.layers.models.one_device import check_one_device

STRATEGIES = {
    "MirroredStrategy": lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
    "OneDeviceStrategy": lambda: tf.distribute.OneDeviceStrategy("CPU:0"),
}


def plain_model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="mine")


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_refused_wherever_its_scope_was(name):
    strategy = STRATEGIES[name]()
    outside = plain_model()
    check_one_device(outside)
    message = rf"outside of the scope .* Received: model='mine', under {name} of [12] replicas"
    with strategy.scope():
        with pytest.raises(ValueError, match=message):
            check_one_device(outside)
        inside = keras.Sequential(name="mine")
    with pytest.raises(ValueError, match=message):
        check_one_device(inside)
    check_one_device(outside)


def test_an_autoencoder_refuses_it():
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(Normal.params_size(2))])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(Normal.params_size(3))])
    model = VariationalAutoencoder(encoder, Normal(2), StandardNormalPrior(2), decoder, Normal(3))
    strategy = STRATEGIES["OneDeviceStrategy"]()
    with strategy.scope(), pytest.raises(ValueError, match="outside of the scope of any strategy"):
        model.compile("sgd")
    model.compile("sgd", run_eagerly=True)
    with strategy.scope(), pytest.raises(ValueError, match="outside of the scope of any strategy"):
        model.fit(np.ones([4, 3], "float32"), verbose=0)
    model.fit(np.ones([4, 3], "float32"), verbose=0)

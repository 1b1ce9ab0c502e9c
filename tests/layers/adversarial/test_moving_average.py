import keras
import numpy as np
import pytest

from ikelos.layers.adversarial.moving_average import copy_of, update_average


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1, trainable=False)])


class Doubled(keras.Model):
    """A subclass built by its first call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def call(self, inputs):
        return 2 * self.dense(inputs)


def test_copy_gives_the_same_and_is_not_trained(network):
    x = np.random.default_rng(0).normal(size=[4, 2]).astype("float32")
    doubled = Doubled()
    doubled(x)
    for original in (network, doubled):
        copy = copy_of(original)
        np.testing.assert_array_equal(copy(x), original(x))
        assert copy.trainable_variables == []
        original.weights[0].assign_add(original.weights[0] * 0 + 1)
        assert np.abs(copy(x) - original(x)).max() > 0.1


def test_copy_takes_layers_that_are_not_registered():
    class Halved(keras.layers.Layer):
        def call(self, inputs):
            return inputs / 2

    original = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), Halved()])
    x = np.ones([1, 2], "float32")
    np.testing.assert_array_equal(copy_of(original)(x), original(x))


def test_copy_of_a_subclass_keeps_its_call():
    class Tripled(keras.Sequential):
        def call(self, inputs, training=None, mask=None):
            return 3 * super().call(inputs)

    original = Tripled([keras.Input((2,)), keras.layers.Dense(3)])
    x = np.ones([1, 2], "float32")
    assert np.abs(original(x)).max() > 0
    np.testing.assert_array_equal(copy_of(original)(x), original(x))


def test_copy_must_have_the_same_weights(network):
    class Grown(keras.Sequential):
        @classmethod
        def from_config(cls, config, custom_objects=None):
            return keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])

    grown = Grown([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(2)], name="grown")
    with pytest.raises(ValueError, match=r"`grown.get_config\(\)` must give .* Received: 4 weights, and 2"):
        copy_of(grown)


def test_average_is_the_running_mean_after_a_warm_up(network):
    rng = np.random.default_rng(0)
    average = copy_of(network)
    expected = [weight.numpy().astype("float64") for weight in network.weights]
    trained = [weight.trainable for weight in network.weights]
    assert trained == [True] * 4 + [False] * 4
    for step in range(30):
        for weight in network.weights:
            weight.assign(rng.normal(size=weight.shape))
        update_average(average, network, 0.7, step)
        # The momenta 0.1, 2/11, 3/12, ... reach 0.7 at step 20.
        momentum = (1 + step) / (10 + step) if step < 20 else 0.7
        expected = [
            momentum * mean + (1 - momentum) * weight.numpy() if is_trained else weight.numpy()
            for mean, weight, is_trained in zip(expected, network.weights, trained, strict=True)
        ]
        for mean, weight in zip(expected, average.weights, strict=True):
            np.testing.assert_allclose(weight, mean, rtol=1e-5, atol=1e-6)

import numpy as np
import pytest

from ikelos.layers import FeedForward
from ikelos.layers.testing import check_layer


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_keeps_a_layers_promises():
    config = {"hidden_size": 7, "kernel_initializer": "he_normal", "output_initializer": "he_uniform"}
    check_layer(FeedForward, config, normal([2, 5, 3]))


def test_is_the_papers_equation():
    x = normal([4, 5])
    layer = FeedForward(7)
    outputs = layer(x)
    w, v, w2 = (part.kernel.numpy().astype("float64") for part in (layer.gate, layer.up, layer.down))
    gate = x @ w
    expected = (gate / (1 + np.exp(-gate)) * (x @ v)) @ w2
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)


def test_projections_of_one_shape_start_unequal():
    layer = FeedForward(7)
    layer.build([None, 5])
    assert np.abs(layer.gate.kernel - layer.up.kernel).max() > 0.1


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: hidden_size=0"):
        FeedForward(0)

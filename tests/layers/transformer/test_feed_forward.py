import math

import numpy as np
import pytest

from ikelos.layers import FeedForward
from ikelos.layers.testing import check_layer


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_keeps_a_layers_promises():
    config = {"hidden_size": 7, "use_bias": True, "kernel_initializer": "he_normal", "output_initializer": "he_uniform"}
    check_layer(FeedForward, config, normal([2, 5, 3]), config_kwargs={"activation": "gelu"})


def weights(layer):
    """Returns kernels and biases of the projections, float64."""
    parts = [*([layer.gate] if layer.is_gated else []), layer.up, layer.down]
    return [[weight.numpy().astype("float64") for weight in (part.kernel, part.bias)] for part in parts]


def scattered(activation):
    layer = FeedForward(7, activation, use_bias=True)
    layer.build([None, 5])
    for i, weight in enumerate(layer.weights):
        weight.assign(normal(weight.shape, seed=i))
    return layer


def test_swiglu_is_the_papers_equation():
    x, layer = normal([4, 5]), scattered("swiglu")
    (w, b), (v, c), (w2, b2) = weights(layer)
    gate = x @ w + b
    expected = (gate / (1 + np.exp(-gate)) * (x @ v + c)) @ w2 + b2
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        # x times the probability that a standard normal number is below x.
        ("gelu", lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
        ("relu", lambda x: np.maximum(x, 0)),
    ],
)
def test_other_activations_have_no_gate(activation, function):
    x, layer = normal([4, 5]), scattered(activation)
    (v, c), (w2, b2) = weights(layer)
    expected = function(x @ v + c) @ w2 + b2
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    again = FeedForward.from_config(layer.get_config())
    again.build([None, 5])
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


def test_projections_of_one_shape_start_unequal():
    layer = FeedForward(7)
    layer.build([None, 5])
    assert np.abs(layer.gate.kernel - layer.up.kernel).max() > 0.1


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: hidden_size=0"):
        FeedForward(0)
    with pytest.raises(ValueError, match=r"Could not interpret activation.*no-such"):
        FeedForward(3, "no-such")


@pytest.mark.parametrize("use_bias", [False, True])
def test_a_single_step_is_that_of_many(use_bias):
    layer = FeedForward(7, use_bias=use_bias)
    x = normal([3, 4, 5])
    steps = [layer(x[:, step : step + 1]) for step in range(4)]
    np.testing.assert_allclose(np.concatenate(steps, axis=1), layer(x), rtol=1e-5, atol=1e-6)

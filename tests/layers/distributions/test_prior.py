"""All priors: their contract, and that they are normalised."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LearnedPrior, MixtureNormal, Normal, RealNVPPrior, StandardNormalPrior, VampPrior
from ikelos.layers.testing import check_layer


def encoder(size=2):
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(Normal.params_size(size))])


# Arguments by which to construct, and such for the config alone.
PRIORS = {
    "StandardNormalPrior": lambda: (StandardNormalPrior, {"event_shape": (2,)}, {}),
    "LearnedPrior": lambda: (
        LearnedPrior,
        {"family": MixtureNormal(3, 2), "initializer": keras.initializers.RandomNormal(stddev=1.0, seed=1)},
        {},
    ),
    "VampPrior": lambda: (
        VampPrior,
        {"encoder": encoder(), "posterior": Normal(2), "num_components": 4, "input_shape": (5,)},
        {"initializer": "zeros", "constraint": "non_neg"},
    ),
    "RealNVPPrior": lambda: (
        RealNVPPrior,
        {"event_size": 2, "num_couplings": 2, "hidden_units": (8,), "activation": "tanh"},
        {},
    ),
}


def scattered(prior):
    """Returns the prior with weights that make it unlike a normal distribution."""
    rng = np.random.default_rng(0)
    for weight in prior.trainable_variables:
        weight.assign(rng.normal(size=weight.shape) * 0.7)
    return prior


@pytest.mark.parametrize("name", PRIORS)
def test_keeps_a_layers_promises(name):
    layer, arguments, others = PRIORS[name]()
    inputs = np.random.default_rng(0).normal(size=[4, 2]).astype("float32")
    # The encoder of the VampPrior has a separate policy, float32 here, so that it does not round to bfloat16.
    check_layer(layer, arguments, inputs, config_kwargs=others, output_dtype="float32")


@pytest.mark.parametrize("name", PRIORS)
def test_density_integrates_to_one(name):
    layer, arguments, _ = PRIORS[name]()
    prior = scattered(layer(**arguments))
    axis = np.linspace(-25, 25, 501, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    density = tf.exp(prior(grid.reshape(-1, 2)))
    assert float(tf.reduce_sum(density)) * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", PRIORS)
def test_samples_are_of_the_density(name):
    layer, arguments, _ = PRIORS[name]()
    prior = scattered(layer(**arguments))
    samples = prior.distribution().sample(5000, seed=(1, 2)).numpy()
    axis = np.linspace(-25, 25, 501, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = tf.exp(prior(grid)).numpy().astype("float64")
    density /= density.sum()
    mean = density @ grid
    deviation = np.sqrt(density @ (grid - mean) ** 2)
    assert (np.abs(samples.mean(0) - mean) < 6 * deviation / 5000**0.5 + 0.02).all()
    np.testing.assert_allclose(samples.std(0), deviation, rtol=0.1)


@pytest.mark.parametrize("name", PRIORS)
def test_float64(name):
    layer, arguments, _ = PRIORS[name]()
    if layer in (LearnedPrior, VampPrior):
        part = "family" if layer is LearnedPrior else "posterior"
        arguments[part] = type(arguments[part]).from_config({**arguments[part].get_config(), "dtype": "float64"})
    prior = layer(**arguments, dtype="float64")
    outputs = prior(np.zeros([3, 2]))
    assert outputs.dtype == tf.float64
    assert prior(keras.KerasTensor((None, 2))).dtype == "float64"


@pytest.mark.parametrize("name", PRIORS)
def test_errors_name_the_argument(name):
    layer, arguments, _ = PRIORS[name]()
    with pytest.raises(ValueError, match=r"must have shape \[\.\.\.,2\]. Received: inputs.shape="):
        layer(**arguments)(keras.Input((3,)))

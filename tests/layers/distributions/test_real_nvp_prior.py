import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import RealNVPPrior, StandardNormalPrior


def scattered(size, seed=0, **arguments):
    prior = RealNVPPrior(size, **arguments)
    rng = np.random.default_rng(seed)
    for weight in prior.trainable_variables:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    return prior


def latents(size, batch=5, seed=1):
    return np.random.default_rng(seed).normal(size=[batch, size]).astype("float32")


@pytest.mark.parametrize("size", [2, 3, 8])
def test_starts_as_the_standard_normal_distribution(size):
    x = latents(size)
    np.testing.assert_allclose(RealNVPPrior(size)(x), StandardNormalPrior(size)(x), rtol=1e-6)


@pytest.mark.parametrize("size", [2, 5])
def test_density_is_that_of_the_base_and_the_jacobian(size):
    """Dinh et al. 2017, equation 3, with the whole Jacobian by automatic differentiation."""
    prior = scattered(size, num_couplings=3, hidden_units=(8,))
    x = latents(size)
    bijector = prior.distribution().bijector
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        base = bijector.inverse(inputs)
    jacobian = tape.batch_jacobian(base, inputs).numpy().astype("float64")
    expected = -0.5 * (base.numpy() ** 2).sum(-1) - size / 2 * np.log(2 * np.pi) + np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(prior(x), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(bijector.forward(base), x, rtol=1e-3, atol=1e-3)


def test_every_value_is_transformed():
    prior = scattered(5, num_couplings=2, hidden_units=(8,))
    x = latents(5)
    assert (np.abs(prior.distribution().bijector.inverse(x) - x) > 1e-6).all()


def test_single_events():
    prior = scattered(4)
    sample = prior.distribution().sample(seed=(1, 2))
    assert sample.shape == (4,)
    np.testing.assert_allclose(prior(sample), prior(sample[None])[0], rtol=1e-5)


def test_learns_a_bent_distribution():
    """A parabola with noise, whose two values are uncorrelated: a normal distribution would see none of it."""
    first = latents(1, batch=256)
    parabola = np.concatenate([first, first**2 + 0.1 * latents(1, batch=256, seed=2)], axis=-1)
    keras.utils.set_random_seed(0)
    prior = RealNVPPrior(2, num_couplings=2, hidden_units=(32,))
    optimizer = keras.optimizers.Adam(0.01)
    weights = prior.trainable_variables
    optimizer.build(weights)

    @tf.function(jit_compile=True)
    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(prior(parabola))
        optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)

    for _ in range(200):
        step()
    best_normal = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(parabola.T))[1]
    assert float(tf.reduce_mean(prior(parabola))) > best_normal + 1


def test_gradients_are_finite_far_out():
    prior = scattered(4)
    x = tf.constant(latents(4) * 1e4)
    with tf.GradientTape() as tape:
        tape.watch(x)
        log_prob = prior(x)
    assert np.isfinite(log_prob).all()
    assert np.isfinite(tape.gradient(log_prob, x)).all()


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="`event_size` must be at least 2"):
        RealNVPPrior(1)
    with pytest.raises(ValueError, match="Received: num_couplings=0"):
        RealNVPPrior(4, num_couplings=0)

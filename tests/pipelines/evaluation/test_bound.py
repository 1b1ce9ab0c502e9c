import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import layers
from ikelos.pipelines.evaluation import bound


@pytest.fixture(scope="module")
def model():
    """Returns a linear model of four values, whose likelihood is known, because they are normal."""
    keras.utils.set_random_seed(0)
    latents = keras.Input((2,))
    decoder = keras.Model(latents, keras.layers.Dense(8)(latents))
    examples = keras.Input((4,))
    # The posterior is a little wider than the prior for every example, so its samples cover all of the prior.
    wide = keras.layers.Dense(4, kernel_initializer="zeros", bias_initializer=lambda *_, **__: [0.0, 0.0, 1.0, 1.0])
    encoder = keras.Model(examples, wide(examples))
    return layers.VariationalAutoencoder(
        encoder, layers.Normal(2), layers.StandardNormalPrior(2), decoder, layers.Normal(4)
    )


def batches(values, size):
    return tf.data.Dataset.from_tensor_slices({"x": values}).batch(size)


def test_the_bound_comes_near_the_likelihood_itself(model):
    values = np.random.default_rng(0).normal(size=[5, 4]).astype("float32")
    costs = bound.costs(model, batches(values, 2), list("abcde"), num_samples=4000, samples_at_once=1000)
    # An independent estimate of the likelihood, from many latent values drawn from the prior.
    drawn = model.prior.distribution().sample(200_000, seed=1)
    likelihood = layers.Normal(4).distribution(model.decoder(drawn))
    expected = [-np.logaddexp.reduce(likelihood.log_prob(row).numpy()) + np.log(200_000) for row in values]
    np.testing.assert_allclose(costs, expected, atol=0.05)


def test_an_example_without_a_likelihood_is_named(model):
    values = np.zeros([3, 4], "float32")
    values[1] = 1e30  # whose square overflows
    with pytest.raises(FloatingPointError, match="likelihood of example b is -inf"):
        bound.costs(model, batches(values, 2), list("abc"), 2, 1)

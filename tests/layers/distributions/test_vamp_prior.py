import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import KLDivergence, Normal, VampPrior


def dense_encoder():
    return keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(6, activation="tanh"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(Normal.params_size(2)),
        ]
    )


def test_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    encoder, posterior = dense_encoder(), Normal(2)
    prior = VampPrior(encoder, posterior, num_components=7, input_shape=(5,))
    latent = np.random.default_rng(0).normal(size=[4, 2]).astype("float32")
    components = posterior.distribution(encoder(prior.pseudo_inputs))
    density = np.exp(components.log_prob(latent[:, None])).astype("float64").mean(1)
    np.testing.assert_allclose(prior(latent, training=True), np.log(density), rtol=1e-4)


def test_encoder_learns_from_the_prior_too():
    prior = VampPrior(dense_encoder(), Normal(2), num_components=3, input_shape=(5,))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(prior(tf.ones([4, 2])))
    weights = [weight.value for weight in prior.trainable_variables]
    assert len(weights) == 5
    assert all(np.any(gradient) for gradient in tape.gradient(loss, weights))


def test_saved_models_share_the_encoder(tmp_path):
    encoder, posterior = dense_encoder(), Normal(2)
    inputs = keras.Input((5,))
    prior = VampPrior(encoder, posterior, num_components=3, input_shape=(5,))
    model = keras.Model(inputs, KLDivergence(posterior, prior, name="latent")(encoder(inputs)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    latent = again.get_layer("latent")
    assert latent.prior.encoder is again.get_layer(encoder.name)
    assert latent.prior.posterior is latent.posterior
    assert len(again.trainable_variables) == len(model.trainable_variables) == 5
    x = np.random.default_rng(1).normal(size=[3, 2]).astype("float32")
    np.testing.assert_array_equal(latent.prior(x), prior(x))


def test_pseudo_inputs_stay_within_their_constraint():
    class UnitInterval(keras.constraints.Constraint):
        def __call__(self, w):
            return keras.ops.clip(w, 0.0, 1.0)

    prior = VampPrior(dense_encoder(), Normal(2), 3, (5,), initializer="ones", constraint=UnitInterval())
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.apply_gradients([(-tf.ones([3, 5]), prior.pseudo_inputs)])
    np.testing.assert_array_equal(prior.pseudo_inputs, np.ones([3, 5]))


def test_builds_an_encoder_that_is_not():
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    prior = VampPrior(encoder, Normal(2), num_components=3, input_shape=(4, 4, 1))
    assert prior.distribution().sample(2, seed=(0, 1)).shape == (2, 2)
    assert len(prior.trainable_variables) == 3


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="Received: num_components=0"):
        VampPrior(dense_encoder(), Normal(2), 0, (5,))

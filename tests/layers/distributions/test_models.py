"""Distributions, priors, divergence and loss together, in models that are trained, saved, cloned and exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import layers
from ikelos.layers import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    KLDivergence,
    LearnedPrior,
    Logistic,
    Mixture,
    MixtureDiscretizedLogistic,
    MixtureNormal,
    MultivariateNormalDiag,
    MultivariateNormalTriL,
    NegativeLogLikelihood,
    Normal,
    OneHotCategorical,
    Poisson,
    RealNVPPrior,
    StandardNormalPrior,
    VampPrior,
    VectorQuantizer,
)

SIZE = 6


@pytest.fixture(autouse=True)
def seeds():
    keras.utils.set_random_seed(1)


def pictures(number=64):
    """Returns small pictures of bars, `[number,SIZE,SIZE,1]`, of 0 and 1."""
    rng = np.random.default_rng(0)
    images = np.zeros([number, SIZE, SIZE, 1], "float32")
    for i in range(number):
        where = rng.integers(0, SIZE)
        if i % 2:
            images[i, where] = 1
        else:
            images[i, :, where] = 1
    return images


def dense_encoder(size):
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(size),
        ],
        name="encoder",
    )


def autoencoder(prior, likelihood, num_params, z=4, jit_compile=False, **arguments):
    """Returns an autoencoder with a decoder that ends in a convolution."""
    posterior = Normal(z, seed=3)
    encoder = dense_encoder(Normal.params_size(z))
    if prior is VampPrior:
        prior = VampPrior(encoder, posterior, 8, (SIZE, SIZE, 1))
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            encoder,
            KLDivergence(posterior, prior, name="latent", **arguments),
            keras.layers.Dense(SIZE * SIZE * 4, activation="relu"),
            keras.layers.Reshape((SIZE, SIZE, 4)),
            keras.layers.Conv2D(num_params, 3, padding="same"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), NegativeLogLikelihood(likelihood), jit_compile=jit_compile)
    return model


AUTOENCODERS = {
    "Gaussian prior, Bernoulli": lambda: autoencoder(
        StandardNormalPrior(4), Bernoulli((SIZE, SIZE, 1)), 1, jit_compile=True
    ),
    "VampPrior, continuous Bernoulli": lambda: autoencoder(VampPrior, ContinuousBernoulli((SIZE, SIZE, 1)), 1),
    "flow, discretised logistics": lambda: autoencoder(
        RealNVPPrior(4, num_couplings=2, hidden_units=(8,)),
        MixtureDiscretizedLogistic(2, (SIZE, SIZE, 1), num_levels=4),
        6,
    ),
    "mixture prior, normal, warm-up": lambda: autoencoder(
        LearnedPrior(MixtureNormal(3, 4)),
        Normal((SIZE, SIZE, 1)),
        2,
        beta=keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0),
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("Gaussian prior, Bernoulli", marks=pytest.mark.slow),
        "mixture prior, normal, warm-up",
        pytest.param("VampPrior, continuous Bernoulli", marks=pytest.mark.slow),
        pytest.param("flow, discretised logistics", marks=pytest.mark.slow),
    ],
)
def test_evidence_lower_bound_rises(name):
    images = pictures()
    model = AUTOENCODERS[name]()
    first = model.evaluate(images, images, batch_size=64, verbose=0)
    model.fit(images, images, batch_size=32, epochs=20, verbose=0)
    latent = model.get_layer("latent")
    if latent.step is not None:
        assert int(latent.step) == 40
        # Before the warm-up the divergence counted nothing.
        latent.step.assign(0)
    assert model.evaluate(images, images, batch_size=64, verbose=0) < 0.8 * first


def everything():
    """Returns a model of all layers, on one input."""
    inputs = keras.Input((SIZE,), name="inputs")

    def params(layer, *arguments):
        return keras.layers.Dense(layer.params_size(*arguments))(inputs)

    posterior, encoder = Normal(2, seed=1), keras.Sequential([keras.Input((SIZE,)), keras.layers.Dense(4)])
    flow = RealNVPPrior(2, num_couplings=2, hidden_units=(4,))
    mixture = LearnedPrior(MixtureNormal(2, 2, seed=1))
    latents = [
        MultivariateNormalDiag(2, seed=1)(params(MultivariateNormalDiag, 2)),
        Bernoulli(2, "mean", seed=1)(params(Bernoulli, 2)),
        ContinuousBernoulli(2, seed=1)(params(ContinuousBernoulli, 2)),
        OneHotCategorical(3, "mean", seed=1)(params(OneHotCategorical, 3)),
        MixtureNormal(3, 2, seed=1)(params(MixtureNormal, 3, 2)),
        Mixture(2, Logistic(2, seed=1), seed=1)(params(Mixture, 2, Logistic.params_size(2))),
        Logistic(2, seed=1)(params(Logistic, 2)),
        Poisson(2, "mean", seed=1)(params(Poisson, 2)),
        MixtureDiscretizedLogistic(2, 2, convert_to_tensor_fn="mean", num_levels=4, seed=1)(
            params(MixtureDiscretizedLogistic, 2, 2)
        ),
        KLDivergence(posterior, VampPrior(encoder, posterior, 3, (SIZE,)))(encoder(inputs)),
        KLDivergence(Normal(2, seed=1), flow)(params(Normal, 2)),
        KLDivergence(MultivariateNormalTriL(2, seed=1), mixture, free_bits=1.0)(params(MultivariateNormalTriL, 2)),
        VectorQuantizer(5, 3)(keras.layers.Dense(3)(inputs)),
        StandardNormalPrior(2)(keras.layers.Dense(2)(inputs))[:, None],
    ]
    outputs = keras.layers.Dense(Categorical.params_size(4))(keras.layers.Concatenate()(latents))
    outputs = Categorical(4, convert_to_tensor_fn="params", seed=1, name="outputs")(outputs)
    return keras.Model(inputs, outputs)


def fitted(policy, jit_compile):
    """Returns the model after training."""
    keras.config.set_dtype_policy(policy)
    try:
        model = everything()
        model.compile(
            "adam", NegativeLogLikelihood(Categorical(4)), jit_compile=jit_compile, run_eagerly=not jit_compile
        )
    finally:
        keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=[32, SIZE]).astype("float32"), rng.integers(0, 4, 32)
    logs = model.fit(x, y, epochs=2, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert np.isfinite(logs["perplexity"]).all()
    return model, x


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_all_layers_train_clone_save_and_export(jit_compile, tmp_path):
    model, x = fitted("mixed_bfloat16", jit_compile)
    clone = keras.models.clone_model(model)
    # Keras clones layer by layer, so that a VampPrior's clone has a separate encoder: a kernel and a bias more.
    assert len(clone.weights) == len(model.weights) + 2
    assert clone(x).shape == (32, 4)
    rewind(model)
    expected = model(x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.distribution.num_classes == 4
    np.testing.assert_allclose(again(x), expected, rtol=2.0**-7, atol=0.03)
    rewind(model)
    # `model.export` would trace the model four times, for an `input_signature` and for a tracked model too.
    serve = tf.function(model.__call__, autograph=False)
    serve.get_concrete_function(tf.TensorSpec([None, SIZE]))
    archive = keras.export.ExportArchive()
    for layer in model.layers:
        archive.track(layer)
    archive.add_endpoint("serve", serve)
    archive.write_out(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(x), expected, rtol=2.0**-7, atol=0.03)


def rewind(model):
    """Sets the seeds to the states of a loaded model, because Keras saves none of their states."""
    for layer in model._flatten_layers():
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([layer.seed, 0])


def test_everything_is_everything():
    """So that a new layer finds its way into the test above."""
    used = {type(layer).__name__ for layer in everything()._flatten_layers()}
    of_layers = {name for name in layers.distributions.__all__ if name in layers.__all__}
    assert of_layers - used == {"NegativeLogLikelihood"}

"""Most are about a linear Gaussian model, whose likelihood and posterior are known (Tipping & Bishop 1999)."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import (
    Bernoulli,
    Normal,
    RealNVPPrior,
    StandardNormalPrior,
    VampPrior,
    VariationalAutoencoder,
)
from ikelos.layers.testing import check_layer

D, Z, NOISE = 5, 2, 0.5


@pytest.fixture(autouse=True)
def seeds():
    keras.utils.set_random_seed(0)


def softplus_inverse(scale):
    return np.log(np.expm1(scale - 1e-5))


def directions():
    """Returns orthogonal columns, so that the values of the exact posterior are independent."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=[D, Z]))[0] * [1.5, 0.8]


def examples(number, seed=1):
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=[number, Z])
    return (latents @ directions().T + 1.0 + NOISE * rng.normal(size=[number, D])).astype("float32")


def log_likelihood(x):
    """Returns the exact log-likelihood of `x`, in float64."""
    covariance = directions() @ directions().T + NOISE**2 * np.eye(D)
    off = x.astype("float64") - 1.0
    whitened = np.einsum("bi,ij,bj->b", off, np.linalg.inv(covariance), off)
    return -0.5 * (whitened + np.linalg.slogdet(2 * np.pi * covariance)[1])


def posterior():
    """Returns the exact posterior's map from examples to means, and its deviations."""
    precision = (directions() ** 2).sum(0) / NOISE**2 + 1
    return directions() / NOISE**2 / precision, precision**-0.5


def dense(inputs, outputs):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])


def linear(shift=0.0, widen=1.0, **arguments):
    """Returns the linear Gaussian model, with its exact posterior or one that is `shift`ed and `widen`ed."""
    model = VariationalAutoencoder(
        dense(D, 2 * Z), Normal(Z), StandardNormalPrior(Z), dense(Z, 2 * D), Normal(D), **arguments
    )
    to_means, deviations = posterior()
    model.encoder.layers[0].set_weights(
        [
            np.concatenate([to_means, np.zeros([D, Z])], 1),
            np.concatenate([shift - to_means.sum(0), softplus_inverse(widen * deviations)]),
        ]
    )
    model.decoder.layers[0].set_weights(
        [
            np.concatenate([directions().T, np.zeros([Z, D])], 1),
            np.concatenate([np.ones(D), softplus_inverse(np.full(D, NOISE))]),
        ]
    )
    return model


def steps(x, number):
    """Returns a dataset of `number` steps on the same batch."""
    return tf.data.Dataset.from_tensors(x).repeat(number)


@pytest.mark.parametrize(("num_samples", "at_once"), [(1, 20), (7, 3), (6, 3), (5, 5), (4, 9)])
def test_with_the_exact_posterior_the_bound_is_the_log_likelihood(num_samples, at_once):
    x = examples(20)
    bound = linear().log_likelihood(x, num_samples, samples_at_once=at_once)
    np.testing.assert_allclose(bound, log_likelihood(x), rtol=1e-4)


def test_the_bound_is_the_same_compiled():
    """And NaN where XLA cannot raise the error for a value that the likelihood cannot take."""
    compiled = tf.function(linear().log_likelihood, jit_compile=True)
    x = examples(20)
    np.testing.assert_allclose(compiled(x, 7, samples_at_once=3), log_likelihood(x), rtol=1e-4)
    x[3, 2] = np.inf
    assert np.isnan(compiled(x, 7, samples_at_once=3)).all()


@pytest.mark.parametrize("arguments", [{"use_exact_kl": False}, {"num_samples": 4}])
def test_with_the_exact_posterior_the_loss_is_the_negative_log_likelihood(arguments):
    x = examples(20)
    loss = linear(**arguments).compute_loss(x)
    np.testing.assert_allclose(loss, -log_likelihood(x).mean(), rtol=1e-4)


def test_the_bound_rises_with_the_samples_to_the_log_likelihood():
    x = np.tile(examples(10), [200, 1])
    model = linear(shift=0.5, widen=1.5)
    exact = log_likelihood(x).mean()
    bounds = {num: float(tf.reduce_mean(model.log_likelihood(x, num, seed=num))) for num in (1, 4, 16, 1000)}
    # One sample's bound is short of it by the divergence of the exact posterior from the model's.
    deviations = posterior()[1]
    gap = (-np.log(1.5) + (1.5**2 + (0.5 / deviations) ** 2) / 2 - 0.5).sum()
    assert bounds[1] == pytest.approx(exact - gap, abs=0.15)
    assert bounds[1] < bounds[4] - 0.5 < bounds[4] < bounds[16] - 0.1
    assert bounds[16] < bounds[1000] < exact + 0.01
    assert bounds[1000] == pytest.approx(exact, abs=0.02)
    # The loss of as many samples is the same bound.
    loss = linear(shift=0.5, widen=1.5, num_samples=4).compute_loss(x)
    assert -float(loss) == pytest.approx(bounds[4], abs=0.1)


@pytest.mark.parametrize("num_samples", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_fit_finds_the_likeliest_parameters(num_samples):
    x = examples(400)
    model = linear(shift=0.5, widen=1.5, num_samples=num_samples)
    model.decoder.layers[0].kernel.assign(0.5 * model.decoder.layers[0].kernel)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 200)), jit_compile=False)
    history = model.fit(steps(x, 200), verbose=0).history
    # Tipping & Bishop 1999, equation 8, with the mean deviation as noise.
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T.astype("float64"), bias=True)))[::-1]
    noise = values[Z:].mean()
    best = -0.5 * (D * np.log(2 * np.pi) + np.log(values[:Z]).sum() + (D - Z) * np.log(noise) + D)
    assert float(tf.reduce_mean(model.log_likelihood(x, 200))) == pytest.approx(best, abs=0.05)
    assert history["active_units"][-1] == Z
    assert model.evaluate(x, verbose=0, return_dict=True)["active_units"] == Z


def test_logs_are_those_of_all_examples_by_weight():
    x = examples(30)
    model = linear(use_exact_kl=False)
    model.compile("sgd", run_eagerly=True)
    padded, weight = np.concatenate([x, np.full([10, D], 50.0, "float32")]), np.repeat([1.0, 0.0], [30, 10])
    logs = model.evaluate(padded, padded, sample_weight=weight, batch_size=16, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(-log_likelihood(x).mean(), rel=1e-4)
    assert logs["nll"] + logs["kl"] == pytest.approx(logs["loss"], rel=1e-4)
    # Padding alone costs nothing, and moves no weight.
    weights = model.get_weights()
    assert model.train_on_batch(padded[30:], padded[30:], weight[30:], return_dict=True)["loss"] == 0
    np.testing.assert_array_equal(model.encoder.layers[0].kernel, weights[0])


def test_weights_may_be_a_column():
    x, weight = examples(30), np.linspace(0, 2, 30, dtype="float32")
    row, column = (float(linear(use_exact_kl=False).compute_loss(x, x, None, w)) for w in (weight, weight[:, None]))
    assert column == pytest.approx(row, rel=1e-5)
    assert row == pytest.approx(-np.average(log_likelihood(x), weights=weight), rel=1e-4)
    for shape in ([30, 5], []):
        with pytest.raises(ValueError, match=r"`sample_weight` must be \[B\] or \[B,1\] for B=30 .*shape=\("):
            linear().compute_loss(x, x, None, np.ones(shape))
    # One weight would count for all.
    with pytest.raises(ValueError, match=r"for B=30 examples. Received: sample_weight.shape=\(1,\)"):
        linear().compute_loss(x, x, None, np.ones([1]))


def test_weight_and_free_bits_are_those_of_kl_divergence():
    x = examples(30)
    parts = linear()
    parts.compute_loss(x)
    kl = float(parts.kl.result())  # exact: no sample in it
    divergence = parts.posterior.distribution(parts.encoder(x)).distribution.kl_divergence(
        parts.prior.distribution().distribution
    )
    assert kl == pytest.approx(float(tf.reduce_sum(tf.reduce_mean(divergence, 0))), rel=1e-5)
    doubled = linear(beta=2.0)
    loss = float(doubled.compute_loss(x))
    assert loss == pytest.approx(float(doubled.nll.result()) + 2 * kl, rel=1e-4)
    free = linear(free_bits=100.0)
    loss = float(free.compute_loss(x))
    assert loss == pytest.approx(float(free.nll.result()) + 100, rel=1e-4)


def test_a_schedule_of_the_weight_counts_training_steps():
    model = linear(beta=keras.optimizers.schedules.PolynomialDecay(0.0, 4, 1.0))
    model.compile("sgd", run_eagerly=True)
    first = model.evaluate(examples(16), verbose=0, return_dict=True)
    assert first["loss"] == pytest.approx(first["nll"], rel=1e-5)
    model.fit(examples(16), batch_size=8, verbose=0)
    assert int(model.divergence.step) == 2


def test_a_variable_as_weight_is_annealed_and_kept(tmp_path):
    beta, x = keras.Variable(0.5), examples(16)
    model = linear(beta=beta)
    assert all(weight is not beta for weight in model.trainable_variables)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    anneal = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: beta.assign(epoch))
    logs = model.fit(x, epochs=3, callbacks=[anneal], verbose=0).history
    expected = np.array(logs["nll"]) + np.arange(3) * np.array(logs["kl"])
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    assert model.divergence.beta is beta
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    logs = again.evaluate(x, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["nll"] + 2 * logs["kl"], rel=1e-5)
    again.divergence.beta.assign(0.0)
    logs = again.evaluate(x, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["nll"], rel=1e-5)


def test_collapse_is_seen():
    model = linear()
    model.encoder.layers[0].kernel.assign(tf.zeros([D, 2 * Z]))
    model.compile("sgd", run_eagerly=True)
    assert model.evaluate(examples(50), verbose=0, return_dict=True)["active_units"] == 0


def test_regularisers_of_parts_count():
    model = linear(use_exact_kl=False)
    before = float(model.compute_loss(examples(8)))
    model.decoder.layers[0].kernel_regularizer = keras.regularizers.L2(1.0)
    model.decoder.layers[0].kernel.regularizer = keras.regularizers.L2(1.0)
    squares = float(tf.reduce_sum(tf.square(model.decoder.layers[0].kernel)))
    assert float(model.compute_loss(examples(8))) == pytest.approx(before + squares, rel=1e-4)


def test_encode_decode_and_sample():
    x = examples(7)
    model = linear()
    to_means, deviations = posterior()
    np.testing.assert_allclose(model.encode(x), (x - 1) @ to_means, atol=1e-5)
    np.testing.assert_allclose(model.posterior_of(x).stddev(), np.tile(deviations, [7, 1]), rtol=1e-4)
    latents = np.random.default_rng(2).normal(size=[3, Z]).astype("float32")
    np.testing.assert_allclose(model.decode(latents), latents @ directions().T + 1, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x), model.decode(model.encode(x)), atol=1e-6)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model(x))
    samples = model.sample(4000, seed=1)
    np.testing.assert_allclose(np.cov(samples.numpy().T), directions() @ directions().T, atol=0.15)
    np.testing.assert_array_equal(samples, model.sample(4000, seed=tf.constant([0, 1])))
    assert np.abs(model.sample(2) - model.sample(2)).min() > 0


def test_the_unexpected_scores_higher():
    x = examples(50)
    model = linear()
    usual, unusual = model.anomaly_score(x, seed=3), model.anomaly_score(x + 2 * (-1) ** np.arange(D), seed=3)
    np.testing.assert_allclose(usual, -log_likelihood(x), rtol=1e-4)
    assert usual.numpy().max() < unusual.numpy().min()


def conditional():
    """Returns a model in which the means of posterior and likelihood depend on the condition, by factors 0.1 and 10."""
    images, condition, latents = keras.Input((1,)), keras.Input((1,)), keras.Input((1,))
    means = keras.layers.Dense(2)(keras.layers.Concatenate()([images, condition]))
    mean = keras.layers.Dense(2, use_bias=False)(keras.layers.Concatenate()([latents, condition]))
    encoder = keras.Model([images, condition], means)
    encoder.layers[-1].set_weights([np.array([[0.0, 0.0], [0.1, 0.0]]), np.zeros(2)])
    decoder = keras.Model([latents, condition], mean)
    decoder.layers[-1].set_weights([np.array([[0.1, 0.0], [10.0, 0.0]])])
    return VariationalAutoencoder(encoder, Normal(1), StandardNormalPrior(1), decoder, Normal(1))


def test_the_condition_reaches_encoder_and_decoder(tmp_path):
    model = conditional()
    condition = np.arange(6, dtype="float32")[:, None]
    pairs = (10 * condition, condition)
    # An example beside another's condition would be dozens of deviations away.
    assert model.log_likelihood(pairs, 30, samples_at_once=7).numpy().min() > -6
    np.testing.assert_allclose(model.encode(pairs), 0.1 * condition, atol=1e-6)
    np.testing.assert_allclose(model.decode(np.ones([6, 1]), condition), 10 * condition + 0.1, atol=1e-5)
    assert np.abs(model.sample(6, condition, seed=0) - 10 * condition).max() < 1
    model.compile("adam", run_eagerly=True)
    model.fit(pairs, batch_size=3, verbose=0)
    assert model.predict(pairs, verbose=0).shape == (6, 1)
    path = tmp_path / "model.keras"
    model.save(path)
    np.testing.assert_allclose(keras.saving.load_model(path)(pairs), model(pairs), atol=1e-5)


def of_pictures(prior="vamp", **arguments):
    """Returns a model of 6x6 pictures, with convolutions, dropout and normalisation."""
    encoder = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, 2, padding="same", activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(Normal.params_size(3)),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(36),
            keras.layers.Reshape((6, 6, 1)),
            keras.layers.Conv2D(1, 3, 1, "same"),
        ]
    )
    posterior = Normal(3)
    if prior == "vamp":
        prior = VampPrior(encoder, posterior, num_components=4, input_shape=(6, 6, 1))
    return VariationalAutoencoder(encoder, posterior, prior, decoder, Bernoulli((6, 6, 1)), **arguments)


def pictures(number=32):
    return (np.random.default_rng(0).random([number, 6, 6, 1]) < 0.3).astype("float32")


def test_a_loaded_model_draws_what_the_saved_one_would_have(tmp_path):
    """The noise of the posterior and of dropout."""

    def made():
        encoder = keras.Sequential([keras.Input((D,)), keras.layers.Dropout(0.5), keras.layers.Dense(2 * Z)])
        model = VariationalAutoencoder(encoder, Normal(Z), StandardNormalPrior(Z), dense(Z, 2 * D), Normal(D))
        model.build((None, D))
        model.compile("adam", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return model

    x, model, other = examples(16), made(), made()
    model.fit(x, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    other.load_weights(tmp_path / "model.weights.h5")
    for each in (model, loaded, other):
        each.fit(x, batch_size=8, shuffle=False, verbose=0)
    for each in (loaded, other):
        for value, expected in zip(each.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(each.sample(2, seed=1), model.sample(2, seed=1))


REFUSED = [
    (lambda x: 255 * x, r"`inputs` must be 0, 1 or probabilities between them.* a value of 255"),
    (lambda x: -x, r"`inputs` must be 0, 1 or probabilities between them.* a value of -1"),
    (lambda x: x + np.float32("nan"), r"`inputs` must be 0, 1 or probabilities between them.* a value of nan"),
    (lambda x: x[..., 0], r"`inputs` must have shape \[B,6,6,1\]. Received: inputs.shape="),
    (lambda x: x.reshape(6, 36), r"`inputs` must have shape \[B,6,6,1\]"),
    (lambda x: x[:, None], r"`inputs` must have shape \[B,6,6,1\]"),
]


@pytest.fixture(scope="module")
def plain():
    """Returns a model of 6x6 pictures with dense networks, not compiled."""
    encoder = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    return VariationalAutoencoder(encoder, Normal(2), StandardNormalPrior(2), dense(2, 36), Bernoulli((6, 6, 1)))


@pytest.mark.parametrize("settings", [{"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}])
def test_training_refuses_what_the_likelihood_cannot_take(plain, settings):
    """As many examples as rows, so that images without their channel axis would be scored as all pairs."""
    plain.compile("sgd", **settings)
    before = plain.get_weights()
    images = pictures(6)
    for change, message in REFUSED:
        for method in (plain.fit, plain.evaluate):
            with pytest.raises(ValueError, match=f"^{message}"):
                method(change(images), batch_size=6, verbose=0)
    for weight, expected in zip(plain.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("method", ["anomaly_score", "encode", "posterior_of", "reconstruct", "compute_loss"])
def test_methods_refuse_what_the_likelihood_cannot_take(plain, method):
    for change, message in REFUSED:
        with pytest.raises(ValueError, match=message):
            getattr(plain, method)(change(pictures(6)))
    with pytest.raises(ValueError, match=r"`latents` must have shape \[B,2\]. Received: latents.shape=\(2,\)"):
        plain.decode(np.zeros([2]))


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_steps_are_compiled_by_xla_where_asked_for(method):
    class Interpreted(keras.layers.Layer):
        """What XLA cannot compile."""

        def call(self, inputs):
            return tf.ensure_shape(tf.numpy_function(lambda x: x, [inputs], inputs.dtype), inputs.shape)

        def compute_output_shape(self, input_shape):
            return input_shape

    encoder = keras.Sequential([keras.Input((D,)), Interpreted(), keras.layers.Dense(2 * Z)])
    model = VariationalAutoencoder(encoder, Normal(Z), StandardNormalPrior(Z), dense(Z, 2 * D), Normal(D))
    model.compile("sgd", jit_compile=True)
    assert model.jit_compile
    with pytest.raises(tf.errors.OpError, match=r"EagerPyFunc|PyFunc|compil"):
        getattr(model, method)(examples(4), verbose=0)


@pytest.mark.parametrize("copy", ["loaded", "cloned"])
def test_a_vamp_prior_keeps_the_models_encoder(tmp_path, copy):
    model = of_pictures()
    model.compile("adam", run_eagerly=True)
    model.fit(pictures(), verbose=0)
    if copy == "loaded":
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(again.prior(tf.ones([2, 3])), model.prior(tf.ones([2, 3])), rtol=1e-5)
    else:
        again = keras.models.clone_model(model)
        again.compile("adam", run_eagerly=True)
    assert again.prior.encoder is again.encoder
    assert again.prior.posterior is again.posterior
    assert len(again.trainable_variables) == len(model.trainable_variables) == 11
    before = again.prior(tf.ones([2, 3])).numpy()
    pseudo_inputs = again.prior.pseudo_inputs.numpy()
    again.fit(pictures(), epochs=3, verbose=0)
    again.prior.pseudo_inputs.assign(pseudo_inputs)
    assert np.abs(again.prior(tf.ones([2, 3])) - before).min() > 1e-4


def test_a_model_of_built_parts_tells_its_size():
    model = linear()
    assert model.count_params() == D * 2 * Z + 2 * Z + Z * 2 * D + 2 * D


def unbuilt():
    encoder, decoder = (keras.Sequential([keras.layers.Dense(size)]) for size in (2 * Z, 2 * D))
    return VariationalAutoencoder(encoder, Normal(Z), StandardNormalPrior(Z), decoder, Normal(D))


def test_is_built_by_fit_if_its_parts_are_not(tmp_path):
    model, x = unbuilt(), examples(16)
    with pytest.raises(ValueError, match="isn't built"):
        model.count_params()
    model.compile("adam", run_eagerly=True)
    model.save(tmp_path / "unbuilt.keras")
    again = keras.saving.load_model(tmp_path / "unbuilt.keras")
    for trained in (model, again):
        trained.fit(x, verbose=0)
        assert trained.built
        assert trained.count_params() == 54
    model.save(tmp_path / "built.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "built.keras")(x), model(x), atol=1e-6)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(x), model(x), atol=1e-5)


@keras.saving.register_keras_serializable(package="ikelos_tests")
class OwnVampPrior(VampPrior):
    """A prior of another project."""


def test_a_prior_of_a_subclass_stays_one():
    model = of_pictures()
    prior = OwnVampPrior(model.encoder, model.posterior, num_components=4, input_shape=(6, 6, 1))
    model = VariationalAutoencoder(model.encoder, model.posterior, prior, model.decoder, model.likelihood)
    again = VariationalAutoencoder.from_config(model.get_config())
    assert type(again.prior) is OwnVampPrior
    assert again.prior.encoder is again.encoder


def small_flow(size):
    return RealNVPPrior(size, num_couplings=1, hidden_units=(4,))


@pytest.mark.parametrize(
    ("num_samples", "make_prior"), [(1, StandardNormalPrior), pytest.param(3, small_flow, marks=pytest.mark.slow)]
)
def test_trains_compiled_in_half_precision(num_samples, make_prior):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = VariationalAutoencoder(dense(6, 6), Normal(3), make_prior(3), dense(3, 6), Bernoulli(6), num_samples)
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.repeat(np.random.default_rng(0).integers(0, 2, [32, 2]), 3, axis=1).astype("float32")
    model.compile(keras.optimizers.Adam(0.05), jit_compile=True)
    first, last = model.fit(steps(x, 50), epochs=2, verbose=0).history["loss"]
    assert last < 0.9 * first
    assert model(x).dtype == "float32"


@keras.saving.register_keras_serializable(package="ikelos_tests")
class OfOneSample(VariationalAutoencoder):
    """Takes all other arguments, of which some go with one sample alone."""

    def __init__(
        self, encoder, posterior, prior, decoder, likelihood, beta=1.0, free_bits=0.0, use_exact_kl=None, **kwargs
    ):
        super().__init__(
            encoder,
            posterior,
            prior,
            decoder,
            likelihood,
            beta=beta,
            free_bits=free_bits,
            use_exact_kl=use_exact_kl,
            **kwargs,
        )


def test_keeps_a_layers_promises():
    model = of_pictures(StandardNormalPrior(3))
    parts = ("encoder", "posterior", "prior", "decoder", "likelihood")
    arguments = {name: getattr(model, name) for name in parts}
    others = {"beta": 0.5, "free_bits": 2.0, "use_exact_kl": False}
    check_layer(OfOneSample, arguments, pictures(4), config_kwargs=others, output_dtype="float32")
    again = VariationalAutoencoder.from_config(of_pictures(num_samples=3).get_config())
    assert again.num_samples == 3


def test_errors_name_the_argument():
    model = of_pictures()
    with pytest.raises(ValueError, match="Received: num_samples=0"):
        of_pictures(num_samples=0)
    with pytest.raises(ValueError, match="Received: num_samples=2, beta="):
        of_pictures(num_samples=2, beta=0.5)
    with pytest.raises(ValueError, match="Received: num_samples=2, beta=<"):
        of_pictures(num_samples=2, beta=keras.Variable(1.0))
    with pytest.raises(
        ValueError, match=r"`beta` must be a number of at least 0, or a scalar .* Received: beta='large'"
    ):
        of_pictures(beta="large")
    parts = {name: getattr(model, name) for name in ("encoder", "posterior", "prior", "decoder", "likelihood")}
    for name, message in {
        "encoder": "a Keras layer or model",
        "posterior": "a distribution layer",
        "prior": "a prior",
        "decoder": "a Keras layer or model",
        "likelihood": "a distribution layer",
    }.items():
        with pytest.raises(ValueError, match=f"`{name}` must be {message}.* Received: {name}=7"):
            VariationalAutoencoder(**parts | {"prior": StandardNormalPrior(3), name: 7})
    with pytest.raises(
        ValueError, match=r"`decoder` must output the parameters of `likelihood`, \[...,36\].*\(None, 9\)"
    ):
        VariationalAutoencoder(**parts | {"decoder": dense(3, 9)})
    with pytest.raises(ValueError, match="`prior` must have the encoder and the posterior of the model"):
        VariationalAutoencoder(dense(36, 6), model.posterior, model.prior, model.decoder, model.likelihood)
    with pytest.raises(ValueError, match="Received: loss=mse"):
        model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match=r"a pair \(inputs, condition\). Received: 3 parts"):
        model.encode((pictures(),) * 3)
    with pytest.raises(ValueError, match="Received: samples_at_once=0"):
        model.log_likelihood(pictures(), 5, samples_at_once=0)
    for num, seed, message in (
        (0, 1, "`num` must be a positive integer. Received: num=0"),
        (2.5, 1, "`num` must be a positive integer. Received: num=2.5"),
        (2, 1.5, "`seed` must be an int or two ints. Received: seed=1.5"),
        (2, [1, 2, 3], "`seed` must be an int or two ints. Received: seed=[1, 2, 3]"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            model.sample(num, seed=seed)
    with pytest.raises(ValueError, match=r"`seed` must be an int or two ints\. Received: seed=0\.5"):
        model.anomaly_score(pictures(), seed=0.5)


def test_conditions_that_a_network_would_ignore_or_miss_are_refused():
    model, with_condition = linear(), conditional()
    message = r"`condition` must be None, because `{}` has 1 input. Received: condition=\(2, 3\)"
    with pytest.raises(ValueError, match=message.format("decoder")):
        model.sample(2, condition=np.zeros([2, 3]))
    with pytest.raises(ValueError, match=message.format("encoder")):
        model.encode((examples(2), np.zeros([2, 3])))
    for call in (lambda: with_condition.sample(2), lambda: with_condition.encode(np.zeros([2, 1]))):
        with pytest.raises(ValueError, match=r"`condition` must be given, because `.*` has 2 inputs. .*condition=None"):
            call()

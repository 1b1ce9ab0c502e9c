import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from ikelos import layers
from ikelos.layers import KLDivergence, LearnedPrior, MixtureNormal, Normal, RealNVPPrior, StandardNormalPrior
from ikelos.layers.distributions import kl_divergence
from ikelos.layers.testing import check_layer

tfd = tfp.distributions


def normal_params(batch=(6,), size=3, seed=0):
    return np.random.default_rng(seed).normal(size=[*batch, 2 * size]).astype("float32")


def divergences(params):
    """Returns the divergence of each value from the standard normal distribution, in float64 (Kingma & Welling 2014,
    appendix B)."""
    loc, scale = np.split(params.astype("float64"), 2, axis=-1)
    variance = (np.logaddexp(scale, 0) + 1e-5) ** 2
    return 0.5 * (loc**2 + variance - 1 - np.log(variance))


def loss_of(layer, params, **arguments):
    sample = layer(params, **arguments)
    (loss,) = layer.losses
    return float(loss), sample


def test_keeps_a_layers_promises():
    params = normal_params()
    # Scales are 1e-5, so the noise of the sample stays below 1e-4.
    params[:, 3:] = -50.0
    check_layer(
        KLDivergence,
        {"posterior": Normal(3), "prior": StandardNormalPrior(3)},
        params,
        config_kwargs={
            "beta": keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0),
            "free_bits": 1.0,
            "use_exact_kl": False,
        },
        tolerance=1e-4,
    )


def test_exact():
    params = normal_params()
    loss, sample = loss_of(KLDivergence(Normal(3), StandardNormalPrior(3)), params)
    assert loss == pytest.approx(divergences(params).sum(-1).mean(), rel=1e-6)
    assert sample.shape == (6, 3)


def test_all_axes_before_the_event_are_the_batch():
    params = normal_params([6, 5])
    loss, sample = loss_of(KLDivergence(Normal(3), StandardNormalPrior(3)), params)
    assert loss == pytest.approx(divergences(params).sum(-1).mean(), rel=1e-6)
    assert sample.shape == (6, 5, 3)


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        (layers.MultivariateNormalTriL(3), StandardNormalPrior(3)),
        (layers.MultivariateNormalDiag(3), StandardNormalPrior(3)),
        (layers.MultivariateNormalTriL(3), LearnedPrior(layers.MultivariateNormalDiag(3))),
        (Normal(3), LearnedPrior(layers.MultivariateNormalTriL(3))),
        (layers.MultivariateNormalDiag(3), LearnedPrior(Normal(3))),
    ],
)
def test_normals_of_any_kind_are_exact(posterior, prior):
    params = np.random.default_rng(1).normal(size=[4, posterior.num_params]).astype("float32")
    if isinstance(prior, LearnedPrior):
        prior.params.assign(np.random.default_rng(2).normal(size=prior.params.shape))
    loss, _ = loss_of(KLDivergence(posterior, prior, use_exact_kl=True), params)

    def of(layer, *arguments):
        """Returns mean and covariance in float64."""
        distribution = layer.distribution(*arguments)
        mean = distribution.mean().numpy().astype("float64")
        if isinstance(distribution, tfd.Independent):
            return mean, np.eye(3) * distribution.variance().numpy().astype("float64")[..., None]
        return mean, distribution.covariance().numpy().astype("float64")

    mean, covariance = of(posterior, params)
    prior_mean, prior_covariance = of(prior)
    inverse = np.linalg.inv(prior_covariance)
    difference = mean - prior_mean
    expected = 0.5 * (
        np.trace(inverse @ covariance, axis1=-2, axis2=-1)
        + np.einsum("bi,ij,bj->b", difference, inverse, difference)
        - 3
        + np.linalg.slogdet(prior_covariance)[1]
        - np.linalg.slogdet(covariance)[1]
    )
    assert loss == pytest.approx(expected.mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "size"), [(layers.Bernoulli, 3), (layers.Categorical, 3), (layers.OneHotCategorical, 3)]
)
def test_of_discrete_latents(layer, size):
    prior = LearnedPrior(layer(size), initializer="zeros")
    params = np.random.default_rng(1).normal(size=[4, size]).astype("float32")
    loss, _ = loss_of(KLDivergence(layer(size), prior, use_exact_kl=True), params)
    wide = params.astype("float64")
    probabilities = 1 / (1 + np.exp(-wide)) if layer is layers.Bernoulli else np.asarray(tf.nn.softmax(wide))
    expected = probabilities * np.log(probabilities * (2 if layer is layers.Bernoulli else size))
    if layer is layers.Bernoulli:
        expected += (1 - probabilities) * np.log(2 * (1 - probabilities))
    assert loss == pytest.approx(expected.sum(-1).mean(), rel=1e-5)


@pytest.mark.parametrize("use_exact_kl", [None, False])
def test_estimate_is_that_of_the_returned_sample(use_exact_kl):
    prior = LearnedPrior(MixtureNormal(4, 3), initializer=keras.initializers.RandomNormal(stddev=1, seed=3))
    params = normal_params()
    loss, sample = loss_of(KLDivergence(Normal(3), prior, use_exact_kl=use_exact_kl), params)
    loc, scale = params[:, :3], np.logaddexp(params[:, 3:], 0) + 1e-5
    expected = tfd.Normal(loc, scale).log_prob(sample).numpy().sum(-1) - prior.distribution().log_prob(sample)
    assert loss == pytest.approx(expected.numpy().mean(), abs=1e-5)


def test_estimate_tends_to_the_exact_divergence():
    params = np.tile(normal_params([1]), [20_000, 1])
    loss, _ = loss_of(KLDivergence(Normal(3), StandardNormalPrior(3), use_exact_kl=False), params)
    # log q - log p has a standard deviation of some 2 nats.
    assert loss == pytest.approx(divergences(params[:1]).sum(), abs=5 * 2 / 20_000**0.5)


def test_estimates_below_zero_are_not_cut_off():
    params = np.zeros([1, 6], "float32")
    layer = KLDivergence(Normal(3, seed=0), StandardNormalPrior(3), use_exact_kl=False)
    estimates = []
    for _ in range(20):
        loss, sample = loss_of(layer, params)
        scale = np.float32(np.log(2) + 1e-5)
        expected = tfd.Normal(0.0, scale).log_prob(sample) - tfd.Normal(0.0, 1.0).log_prob(sample)
        assert loss == pytest.approx(float(tf.reduce_sum(expected)), abs=1e-5)
        estimates.append(loss)
    assert min(estimates) < -0.1


def test_unknown_divergence_is_an_error_on_demand():
    layer = KLDivergence(Normal(4), RealNVPPrior(4), use_exact_kl=True)
    with pytest.raises(NotImplementedError, match="Unable to calculate KL"):
        layer(normal_params(size=4))


def test_free_bits_are_shared_by_the_values_of_an_event():
    params = normal_params()
    means = divergences(params).mean(0)
    free = float(3 * np.median(means))
    loss, _ = loss_of(KLDivergence(Normal(3), StandardNormalPrior(3), free_bits=free, beta=0.5), params)
    assert loss == pytest.approx(0.5 * np.maximum(means, free / 3).sum(), rel=1e-6)
    whole = KLDivergence(layers.MultivariateNormalDiag(3), StandardNormalPrior(3), free_bits=means.sum() + 1)
    assert loss_of(whole, params)[0] == pytest.approx(means.sum() + 1)


def test_free_bits_stop_the_gradient():
    params = tf.Variable(normal_params() / 100)
    layer = KLDivergence(Normal(3), StandardNormalPrior(3), free_bits=1e3)
    with tf.GradientTape() as tape:
        layer(params)
        loss = layer.losses[0]
    assert not np.any(tape.gradient(loss, params))


def test_beta_follows_its_schedule_in_training_alone():
    params = normal_params()
    full = divergences(params).sum(-1).mean()
    warm_up = keras.optimizers.schedules.PolynomialDecay(0.0, 4, 2.0)
    layer = KLDivergence(Normal(3), StandardNormalPrior(3), beta=warm_up)
    weights = [loss_of(layer, params, training=True)[0] / full for _ in range(6)]
    np.testing.assert_allclose(weights, [0, 0.5, 1, 1.5, 2, 2], atol=1e-5)
    layer.step.assign(1)
    assert [loss_of(layer, params)[0] / full for _ in range(2)] == pytest.approx([0.5, 0.5], rel=1e-5)


def test_gradients_are_finite_at_the_edges():
    params = tf.constant(np.random.default_rng(0).choice([-50.0, 50.0], [8, 6]), tf.float32)
    for use_exact_kl in (True, False):
        layer = KLDivergence(Normal(3), StandardNormalPrior(3), use_exact_kl=use_exact_kl)
        with tf.GradientTape() as tape:
            tape.watch(params)
            layer(params)
            loss = layer.losses[0]
        assert np.isfinite(loss)
        assert np.isfinite(tape.gradient(loss, params)).all()


def test_is_computed_in_float32_under_mixed_precision():
    params = normal_params()
    loss, sample = loss_of(KLDivergence(Normal(3), StandardNormalPrior(3), dtype="mixed_bfloat16"), params)
    assert sample.dtype == tf.bfloat16
    assert loss == pytest.approx(divergences(params).sum(-1).mean(), rel=1e-6)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"Received: posterior\.convert_to_tensor_fn='mean'"):
        KLDivergence(Normal(3, convert_to_tensor_fn="mean"), StandardNormalPrior(3))
    with pytest.raises(ValueError, match=r"posterior.event_shape=\(3,\), prior.event_shape=\(2,\)"):
        KLDivergence(Normal(3), StandardNormalPrior(2))
    with pytest.raises(ValueError, match="Received: free_bits=-1"):
        KLDivergence(Normal(3), StandardNormalPrior(3), free_bits=-1)
    for name, value in {"beta": "large", "free_bits": float("nan"), "use_exact_kl": "yes"}.items():
        with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
            KLDivergence(Normal(3), StandardNormalPrior(3), **{name: value})
    with pytest.raises(ValueError, match=r"`beta` must be .* a scalar floating-point variable"):
        KLDivergence(Normal(3), StandardNormalPrior(3), beta=tf.Variable([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"`posterior` must be a distribution layer. Received: posterior=<class"):
        KLDivergence(Normal, StandardNormalPrior(3))
    with pytest.raises(ValueError, match=r"`prior` must be a prior, .* Received: prior=<Normal"):
        KLDivergence(Normal(3), Normal(3))


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        (Normal(2), LearnedPrior(layers.ContinuousBernoulli(2))),  # values outside 0 to 1 have no density
        (layers.Bernoulli(2), StandardNormalPrior(2)),  # a probability and a density
        (layers.Bernoulli(2), LearnedPrior(layers.ContinuousBernoulli(2))),
        (layers.Categorical(3, 2), LearnedPrior(layers.Categorical(4, 2))),
    ],
    ids=lambda layer: layer.name,
)
def test_priors_without_the_values_of_the_posterior_are_refused(posterior, prior):
    with pytest.raises(ValueError, match=r"`prior` must have the values of `posterior`, .* Received: prior with"):
        KLDivergence(posterior, prior)


def test_a_density_on_part_of_the_reals_has_a_divergence_from_one_on_all():
    layer = KLDivergence(layers.ContinuousBernoulli(2), StandardNormalPrior(2))
    loss, sample = loss_of(layer, np.zeros([4, 2], "float32"))
    # At logits of 0 the posterior is uniform, so that log q is 0.
    assert loss == pytest.approx(-tfd.Normal(0.0, 1.0).log_prob(sample).numpy().sum(-1).mean(), rel=1e-5)


def test_variables_as_weights(tmp_path):
    params, full = normal_params(), divergences(normal_params()).sum(-1).mean()
    beta, free = keras.Variable(2.0), tf.Variable(0.0)
    layer = KLDivergence(Normal(3), StandardNormalPrior(3), beta=beta, free_bits=free, name="latent")
    model = keras.Sequential([keras.Input((6,)), layer])
    assert model.trainable_variables == []
    assert loss_of(layer, params)[0] == pytest.approx(2 * full, rel=1e-6)
    beta.assign(0.5)
    free.assign(100.0)
    assert loss_of(layer, params)[0] == pytest.approx(50)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").get_layer("latent")
    assert loss_of(again, params)[0] == pytest.approx(50)
    again.free_bits.assign(0.0)
    assert loss_of(again, params)[0] == pytest.approx(full / 2, rel=1e-6)


def test_distributions_that_would_be_broadcast_are_refused():
    posterior, prior = tfd.MultivariateNormalDiag(tf.zeros([4, 3])), tfd.MultivariateNormalDiag(tf.zeros([3]))
    sample = tf.zeros([4, 3])
    np.testing.assert_array_equal(kl_divergence(posterior, prior, sample), np.zeros(4))
    assert kl_divergence(posterior, prior, tf.zeros([7, 4, 3]), use_exact_kl=False).shape == (7, 4)
    with pytest.raises(
        ValueError, match=r"`prior` must have the batch shape \(\) .* Received: prior.batch_shape=\(4,\)"
    ):
        kl_divergence(posterior, posterior, sample)
    with pytest.raises(ValueError, match=r"`prior` must have .* Received: .*prior.event_shape=\(1,\)"):
        kl_divergence(posterior, tfd.MultivariateNormalDiag(tf.zeros([1])), sample)
    with pytest.raises(ValueError, match=r"`sample` must have shape \(4, 3\). Received: sample.shape=\(4, 1\)"):
        kl_divergence(posterior, prior, tf.zeros([4, 1]))
    with pytest.raises(ValueError, match=r"`prior` must be a tfd.Distribution. Received: prior=<StandardNormalPrior"):
        kl_divergence(posterior, StandardNormalPrior(3), sample)

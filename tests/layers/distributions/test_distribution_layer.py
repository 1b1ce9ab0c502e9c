"""All distribution layers: their contract, and their numbers beside distributions built in float64 by the test."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from ikelos import layers
from ikelos.layers.distributions import DistributionLayer, Support, event_size, scale_of
from ikelos.layers.testing import check_layer

tfd = tfp.distributions

# Of float32 against float64: some 16 roundings on the way to a value, or to each of the terms summed.
TOLERANCE = 16 * 2.0**-23


def softplus(x):
    return np.logaddexp(x, 0.0)


def parts(params, number, *shape):
    """Splits flat parameters into `number` tensors of `shape`, because some distributions make float32 of arrays."""
    return [tf.constant(x.reshape(*params.shape[:-1], *shape)) for x in np.split(params, number, axis=-1)]


def normal(params, event_shape=()):
    loc, scale = parts(params, 2, *event_shape)
    return tfd.Independent(tfd.Normal(loc, softplus(scale) + 1e-5), len(event_shape))


def multivariate_normal_diag(params, event_size):
    loc, scale = parts(params, 2, event_size)
    return tfd.MultivariateNormalDiag(loc, softplus(scale) + 1e-5)


def multivariate_normal_tril(params, event_size):
    lower = tfp.math.fill_triangular(params[..., event_size:]).numpy()
    i = np.arange(event_size)
    lower[..., i, i] = softplus(lower[..., i, i]) + 1e-5
    return tfd.MultivariateNormalTriL(params[..., :event_size], lower)


def bernoulli(params, event_shape=()):
    (logits,) = parts(params, 1, *event_shape)
    return tfd.Independent(tfd.Bernoulli(logits, dtype=tf.float64), len(event_shape))


def continuous_bernoulli(params, event_shape=()):
    (logits,) = parts(params, 1, *event_shape)
    return tfd.Independent(tfd.ContinuousBernoulli(logits, dtype=tf.float64), len(event_shape))


def logistic(params, event_shape=()):
    loc, scale = parts(params, 2, *event_shape)
    return tfd.Independent(tfd.Logistic(loc, softplus(scale) + 1e-5), len(event_shape))


def poisson(params, event_shape=()):
    (log_rate,) = parts(params, 1, *event_shape)
    return tfd.Independent(tfd.Poisson(log_rate=log_rate), len(event_shape))


def categorical(params, num_classes, event_shape=()):
    (logits,) = parts(params, 1, *event_shape, num_classes)
    return tfd.Independent(tfd.Categorical(logits), len(event_shape))


def one_hot_categorical(params, event_size):
    return tfd.OneHotCategorical(params, dtype=tf.float64)


def mixture_normal(params, num_components, event_shape=()):
    logits, rest = np.split(params, [num_components], axis=-1)
    components = rest.reshape(*rest.shape[:-1], num_components, -1)
    return tfd.MixtureSameFamily(tfd.Categorical(logits), normal(components, event_shape))


def mixture(params, num_components, component_layer):
    logits, rest = np.split(params, [num_components], axis=-1)
    components = rest.reshape(*rest.shape[:-1], num_components, -1)
    family = FAMILIES[type(component_layer).__name__]
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits), family.expected(components, event_shape=component_layer.event_shape)
    )


def mixture_discretized_logistic(params, num_components, event_shape=(), num_levels=256, low=0.0, high=1.0):
    logits, loc, scale = parts(params, 3, *event_shape, num_components)
    loc = (num_levels - 1) * (0.5 + loc / 2)
    scale = (num_levels - 1) * (softplus(scale) + np.exp(-7)) / 2
    # TensorFlow Probability rounds up, and its levels are whole numbers.
    logistic = tfd.TransformedDistribution(tfd.Logistic(loc, scale), tfp.bijectors.Shift(np.float64(-0.5)))
    levels = tfd.QuantizedDistribution(logistic, low=0.0, high=num_levels - 1.0)
    return tfd.Independent(tfd.MixtureSameFamily(tfd.Categorical(logits), levels), len(event_shape))


def shapes(rng):
    return {"event_shape": tuple(int(n) for n in rng.integers(1, 4, rng.integers(0, 4)))}


def sizes(rng):
    return {"event_size": int(rng.integers(1, 6))}


@dataclasses.dataclass
class Family:
    """Facts about a layer that the tests need."""

    layer: type
    expected: Callable  # the distribution in float64, of flat parameters and the constructor's arguments
    arguments: Callable  # generates those arguments
    values: Callable  # generates values of a shape
    moments: tuple = ("mean", "variance")
    divergence: bool = True  # whether it is known in closed form
    without: tuple = ()  # conversions that are not defined

    def params(self, rng, arguments, batch=()):
        size = self.layer(**arguments).num_params
        return rng.normal(size=[*batch, size], scale=2).astype("float32")


def reals(rng, shape, **_):
    return rng.normal(size=shape, scale=2)


def bits(rng, shape, **_):
    return rng.integers(0, 2, shape).astype("float64")


def fractions(rng, shape, **_):
    return rng.random(shape)


def counts(rng, shape, **_):
    return rng.poisson(2.0, shape).astype("float64")


def levels(rng, shape, num_levels=256, low=0.0, high=1.0, **_):
    return low + (high - low) * rng.integers(0, num_levels, shape) / (num_levels - 1)


def logistic_or_poisson(rng):
    """Returns arguments of a mixture, whose components are scalars, vectors or maps with a single place."""
    component = [layers.Logistic(2), layers.Poisson((1, 3)), layers.Logistic()][int(rng.integers(3))]
    return {"num_components": int(rng.integers(1, 4)), "component_layer": component}


def of_components(rng, shape, component_layer, **_):
    return FAMILIES[type(component_layer).__name__].values(rng, shape)


FAMILIES = {
    "Normal": Family(layers.Normal, normal, shapes, reals),
    "MultivariateNormalDiag": Family(
        layers.MultivariateNormalDiag,
        multivariate_normal_diag,
        sizes,
        reals,
        ("mean", "variance", "covariance"),
    ),
    "MultivariateNormalTriL": Family(
        layers.MultivariateNormalTriL,
        multivariate_normal_tril,
        sizes,
        reals,
        ("mean", "variance", "covariance"),
    ),
    "Bernoulli": Family(layers.Bernoulli, bernoulli, shapes, bits),
    "ContinuousBernoulli": Family(layers.ContinuousBernoulli, continuous_bernoulli, shapes, fractions),
    "Logistic": Family(layers.Logistic, logistic, shapes, reals, divergence=False),
    "Poisson": Family(layers.Poisson, poisson, shapes, counts, divergence=False),
    "Categorical": Family(
        layers.Categorical,
        categorical,
        lambda rng: {**shapes(rng), "num_classes": int(rng.integers(2, 6))},
        lambda rng, shape, num_classes, **_: rng.integers(0, num_classes, shape),
        moments=(),
        without=("mean",),
    ),
    "OneHotCategorical": Family(
        layers.OneHotCategorical,
        one_hot_categorical,
        sizes,
        lambda rng, shape, **_: np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])],
    ),
    "MixtureNormal": Family(
        layers.MixtureNormal,
        mixture_normal,
        lambda rng: {**shapes(rng), "num_components": int(rng.integers(1, 5))},
        reals,
        divergence=False,
        without=("mode",),
    ),
    "Mixture": Family(layers.Mixture, mixture, logistic_or_poisson, of_components, divergence=False, without=("mode",)),
    "MixtureDiscretizedLogistic": Family(
        layers.MixtureDiscretizedLogistic,
        mixture_discretized_logistic,
        lambda rng: {**shapes(rng), "num_components": int(rng.integers(1, 5)), "num_levels": int(rng.integers(2, 40))},
        levels,
        moments=(),  # TensorFlow Probability has none: test_discretized_logistic.py
        divergence=False,
        without=("mode",),
    ),
}
ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())


def generated(family, number):
    """Yields random cases: a layer, its arguments, flat parameters and values."""
    for i in range(number):
        rng = np.random.default_rng([7, i])
        arguments = family.arguments(rng)
        batch = ([], [3], [2, 4])[i % 3]
        layer = family.layer(**arguments)
        values = family.values(rng, (*batch, *layer.event_shape), **arguments)
        yield layer, arguments, family.params(rng, arguments, batch), values


def assert_close(actual, expected, terms=1):
    expected = np.asarray(expected)
    bound = TOLERANCE * terms * np.maximum(np.abs(expected), 1)
    assert actual.shape == expected.shape
    assert (np.abs(np.asarray(actual, "float64") - expected) <= bound).all(), np.abs(actual - expected).max()


@ALL
def test_density_and_moments(family):
    for layer, arguments, params, values in generated(family, 9):
        actual = layer.distribution(params)
        expected = family.expected(params.astype("float64"), **arguments)
        assert actual.batch_shape == params.shape[:-1]
        assert actual.event_shape == layer.event_shape
        # The reference of discretised logistics counts levels.
        levels = arguments["num_levels"] - 1 if "num_levels" in arguments else 1
        log_prob = actual.log_prob(tf.cast(values, actual.dtype))
        assert_close(log_prob, expected.log_prob(np.round(values * levels) if levels > 1 else values), terms=16)
        for moment in family.moments:
            assert_close(getattr(actual, moment)(), getattr(expected, moment)(), terms=16)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.divergence])
def test_divergence(name):
    family = FAMILIES[name]
    for layer, arguments, params, _ in generated(family, 6):
        other = family.params(np.random.default_rng(1), arguments)
        actual = tfd.kl_divergence(layer.distribution(params), layer.distribution(other))
        wide = [family.expected(x.astype("float64"), **arguments) for x in (params, other)]
        assert_close(actual, tfd.kl_divergence(*wide), terms=16)


@ALL
def test_samples_have_the_distributions_mean(family):
    rng = np.random.default_rng(3)
    arguments = {**family.arguments(rng), **({"event_shape": (2,)} if "event_shape" in family.arguments(rng) else {})}
    params = family.params(rng, arguments)
    number = 4000
    samples = family.layer(**arguments, seed=1)(np.tile(params, [number, 1])).numpy()
    if family.layer is layers.Categorical:
        logits = params.reshape(2, -1)
        expected = tf.nn.softmax(logits).numpy()
        samples = np.eye(logits.shape[-1])[samples]
    else:
        expected = family.layer(**arguments).distribution(params).mean()
    # Of 4000 samples' mean 1 in 3e6 is 5 standard errors away.
    np.testing.assert_array_less(np.abs(samples.mean(0) - expected), 5 * samples.std(0) / number**0.5 + 1e-6)


@pytest.mark.parametrize(
    ("layer", "arguments", "reference"),
    [
        (layers.Normal, {"event_shape": (2, 3)}, tfp.layers.IndependentNormal),
        (layers.MultivariateNormalTriL, {"event_size": 3}, tfp.layers.MultivariateNormalTriL),
        (layers.Bernoulli, {"event_shape": (2, 3)}, tfp.layers.IndependentBernoulli),
        (layers.Logistic, {"event_shape": (2, 3)}, tfp.layers.IndependentLogistic),
        (layers.Poisson, {"event_shape": (2, 3)}, tfp.layers.IndependentPoisson),
        (layers.OneHotCategorical, {"event_size": 4}, tfp.layers.OneHotCategorical),
        (layers.MixtureNormal, {"num_components": 3, "event_shape": (2,)}, tfp.layers.MixtureNormal),
    ],
)
def test_parameters_mean_what_they_mean_in_tfp_layers(layer, arguments, reference):
    size = layer.params_size(**arguments)
    assert size == reference.params_size(**arguments)
    params = tf.constant(np.random.default_rng(4).normal(size=[5, size]), tf.float32)
    actual, expected = layer(**arguments).distribution(params), reference.new(params, **arguments)
    # Scales have 1e-5 added, relative to scales of 0.1 and more.
    np.testing.assert_allclose(actual.mean(), expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(actual.variance(), expected.variance(), rtol=3e-4)


def test_mixture_has_the_parameters_of_tfp_layers():
    size = layers.Mixture.params_size(3, layers.Poisson.params_size(2))
    assert size == tfp.layers.MixtureSameFamily.params_size(3, tfp.layers.IndependentPoisson.params_size(2))
    params = tf.constant(np.random.default_rng(4).normal(size=[5, size]), tf.float32)
    actual = layers.Mixture(3, layers.Poisson(2)).distribution(params)
    logits, log_rates = params[:, :3], tf.reshape(params[:, 3:], [5, 3, 2])
    expected = tfd.MixtureSameFamily(
        tfd.Categorical(logits), tfp.layers.IndependentPoisson.new(tf.reshape(log_rates, [5, 3, 2]), (2,))
    )
    values = np.random.default_rng(5).poisson(2.0, [5, 2]).astype("float32")
    np.testing.assert_allclose(actual.log_prob(values), expected.log_prob(values), rtol=1e-5)


@pytest.mark.parametrize(
    "component",
    [layers.Bernoulli(2), layers.MultivariateNormalTriL(2), layers.OneHotCategorical(3), layers.MixtureNormal(2, 2)],
    ids=lambda layer: layer.name,
)
def test_mixtures_of_every_family(component):
    """Of probabilities and not of their logarithms, by hand."""
    mixture_layer = layers.Mixture(2, component)
    rng = np.random.default_rng(6)
    params = rng.normal(size=[4, mixture_layer.num_params]).astype("float32")
    values = component.distribution(rng.normal(size=[4, component.num_params])).sample(seed=(0, 1))
    weights = np.exp(params[:, :2].astype("float64"))
    weights /= weights.sum(1, keepdims=True)
    parameters = np.split(params[:, 2:], 2, axis=1)
    density = sum(
        weight * np.exp(component.log_prob(x, values)) for weight, x in zip(weights.T, parameters, strict=True)
    )
    np.testing.assert_allclose(mixture_layer.log_prob(params, values), np.log(density), rtol=1e-4)


EDGES = {
    "all -50": lambda rng, shape: np.full(shape, -50.0),
    "all 50": lambda rng, shape: np.full(shape, 50.0),
    "either": lambda rng, shape: rng.choice([-50.0, 50.0], shape),
    "all 0": lambda rng, shape: np.zeros(shape),
}


@ALL
@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES.keys())
def test_gradients_are_finite_at_the_edges(family, edge):
    """Scales near 0, logits of +-50, equal logits."""
    rng = np.random.default_rng(5)
    arguments = family.arguments(rng)
    layer = family.layer(**arguments)
    params = edge(rng, [4, layer.num_params])
    if family.layer is layers.MultivariateNormalTriL:
        # A triangle of 50 on a diagonal of 1e-5 is a distribution whose density float32 cannot hold.
        size = layer.event_shape[0]
        lower = tfp.math.fill_triangular_inverse(np.diag(params[0, size : 2 * size]))
        params = np.concatenate([params[:, :size], np.tile(lower, [4, 1])], axis=-1)
    params = tf.constant(params, tf.float32)
    values = family.values(rng, (4, *layer.event_shape), **arguments)

    def check(value):
        distribution = layer.distribution(params)
        results = [distribution.log_prob(tf.cast(value, distribution.dtype))]
        results += [getattr(distribution, moment)() for moment in ("mean", "variance") if family.moments]
        if distribution.reparameterization_type == tfd.FULLY_REPARAMETERIZED:
            results.append(layer(params))
        for result in results:
            assert np.isfinite(result).all()
        return results

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(params)
        results = check(values)
    for result in results:
        assert np.isfinite(tape.gradient(result, params)).all()


CONTRACTS = {
    "Normal": {"event_shape": (2, 3)},
    "MultivariateNormalDiag": {"event_size": 3},
    "MultivariateNormalTriL": {"event_size": 3},
    "Bernoulli": {"event_shape": (2, 3)},
    "ContinuousBernoulli": {"event_shape": (2, 3)},
    "Logistic": {"event_shape": (2, 3)},
    "Poisson": {"event_shape": (2, 3)},
    "Mixture": {"num_components": 2, "component_layer": layers.Logistic((2, 3))},
    "Categorical": {"num_classes": 4, "event_shape": (2, 3)},
    "OneHotCategorical": {"event_size": 3},
    "MixtureNormal": {"num_components": 2, "event_shape": (2, 3)},
    "MixtureDiscretizedLogistic": {
        "num_components": 2,
        "event_shape": (2, 3),
        "low": -1.0,
        "high": 2.0,
        "num_levels": 5,
    },
}


def moderate_params(name, batch=4):
    layer = FAMILIES[name].layer(**CONTRACTS[name])
    return np.random.default_rng(6).normal(size=[batch, layer.num_params]).astype("float32")


@pytest.mark.parametrize("name", FAMILIES)
def test_keeps_a_layers_promises(name):
    conversion = "mean" if "mean" not in FAMILIES[name].without else "params"
    check_layer(
        FAMILIES[name].layer,
        {**CONTRACTS[name], "convert_to_tensor_fn": conversion},
        moderate_params(name),
        config_kwargs={"seed": 7},
        output_dtype="float32" if conversion == "params" else None,
    )


def test_keeps_a_layers_promises_with_samples():
    params = moderate_params("Normal")
    params[:, 6:] = -50.0
    # Scales are 1e-5, so the noise stays below 1e-4.
    check_layer(
        layers.Normal,
        CONTRACTS["Normal"],
        params,
        config_kwargs={"convert_to_tensor_fn": "mode", "seed": 7},
        tolerance=1e-4,
    )


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
def test_outputs_have_the_promised_shape_and_dtype(name, policy):
    family = FAMILIES[name]
    params = moderate_params(name)
    for conversion in {"sample", "mean", "mode", "params"} - set(family.without):
        layer = family.layer(**CONTRACTS[name], convert_to_tensor_fn=conversion, dtype=policy)
        promised = layer(keras.KerasTensor((None, layer.num_params)))
        outputs = layer(params)
        assert outputs.dtype.name == promised.dtype
        assert (None, *outputs.shape[1:]) == promised.shape
        if conversion == "params":
            np.testing.assert_array_equal(outputs, params)
        elif family.layer is not layers.Categorical:
            assert outputs.dtype.name == {"mixed_bfloat16": "bfloat16"}.get(policy, policy)


@ALL
def test_undefined_conversions_are_refused(family):
    arguments = family.arguments(np.random.default_rng(0))
    for conversion in (*family.without, "variance"):
        with pytest.raises(ValueError, match=f"Received: convert_to_tensor_fn='{conversion}'"):
            family.layer(**arguments, convert_to_tensor_fn=conversion)


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_are_a_function_of_the_seed(name):
    family, params = FAMILIES[name], moderate_params(name, batch=50)
    layer, again, other = (family.layer(**CONTRACTS[name], seed=seed) for seed in (5, 5, 6))
    graph = tf.function(again.call)
    first, second = layer(params), layer(params)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other(params))
    for expected in (first, second):
        np.testing.assert_allclose(graph(params), expected, rtol=1e-5, atol=1e-6)


def test_samples_compiled_by_xla_are_a_function_of_the_seed():
    """XLA draws other numbers than TensorFlow's kernels, because it has another generator."""
    params = moderate_params("Normal")
    layer, again = (layers.Normal(**CONTRACTS["Normal"], seed=5) for _ in range(2))
    compiled, compiled_again = (tf.function(x.call, jit_compile=True) for x in (layer, again))
    first, second = compiled(params), compiled(params)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(compiled_again(params), first)
    np.testing.assert_array_equal(compiled_again(params), second)


# Each takes seconds.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "ContinuousBernoulli" else pytest.mark.slow) for name in FAMILIES],
)
def test_trains_compiled_by_xla_on_batches_of_unknown_size(name):
    family = FAMILIES[name]
    layer = family.layer(**CONTRACTS[name])
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(layer.num_params)(inputs)
    if layer.value_dtype != "int32":
        outputs = [outputs, keras.layers.Flatten()(layer(outputs))]
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(10)
    values = family.values(rng, (5, *layer.event_shape), **CONTRACTS[name])
    targets = values if layer.value_dtype == "int32" else [values, np.zeros([5, np.prod(layer.event_shape)])]
    losses = layers.NegativeLogLikelihood(layer)
    model.compile("sgd", losses if layer.value_dtype == "int32" else [losses, "mse"], jit_compile=True)
    logs = model.fit(rng.normal(size=[5, 3]), targets, batch_size=3, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


@keras.saving.register_keras_serializable(package="ikelos_tests")
class Gamma(DistributionLayer):
    """A family of another project, as the documentation shows it."""

    support = Support("positive numbers", lambda x: (x > 0) & (x < np.inf))

    def __init__(self, event_shape=(), **kwargs):
        super().__init__(event_shape, self.params_size(event_shape), **kwargs)

    @staticmethod
    def params_size(event_shape=()):
        return 2 * event_size(event_shape)

    def make_distribution(self, params):
        concentration, rate = self.split(params, 2)
        return tfd.Independent(tfd.Gamma(scale_of(concentration), scale_of(rate)), len(self.event_shape))

    def get_config(self):
        return {**super().get_config(), "event_shape": self.event_shape}


def test_a_family_of_another_project():
    params = np.random.default_rng(0).normal(size=[4, 6]).astype("float32")
    values = np.random.default_rng(1).gamma(2.0, size=[4, 3]).astype("float32")
    check_layer(Gamma, {"event_shape": 3, "convert_to_tensor_fn": "mean"}, params)
    concentration, rate = np.split(softplus(params.astype("float64")) + 1e-5, 2, axis=1)
    expected = tfd.Gamma(concentration, rate).log_prob(values.astype("float64")).numpy().sum(1)
    loss = layers.NegativeLogLikelihood(Gamma(3), reduction=None)
    np.testing.assert_allclose(loss(values, params), -expected, rtol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    np.testing.assert_array_equal(again(values, params), loss(values, params))
    with pytest.raises(ValueError, match=r"`y_true` must be positive numbers. Received: a value of -1"):
        loss(-np.ones([4, 3]), params)
    mixed = np.concatenate([np.zeros([4, 2]), params, params], axis=1)
    np.testing.assert_allclose(layers.Mixture(2, Gamma(3)).log_prob(mixed, values), expected, rtol=1e-5)


def test_mixed_precision_computes_in_float32():
    """In bfloat16 the log_prob of 784 pixels would be off by a nat and more."""
    params = np.random.default_rng(8).normal(size=[3, 784]).astype("float32")
    half, full = (layers.Bernoulli(784, dtype=policy) for policy in ("mixed_bfloat16", "float32"))
    ones = np.ones([3, 784], "float32")
    np.testing.assert_array_equal(half.distribution(params).log_prob(ones), full.distribution(params).log_prob(ones))
    assert half.distribution(tf.cast(params, tf.bfloat16)).dtype == tf.float32


MAPPED = {
    "Normal": (2, ()),
    "Bernoulli": (1, ()),
    "ContinuousBernoulli": (1, ()),
    "Logistic": (2, ()),
    "Poisson": (1, ()),
    "Categorical": (1, (4,)),
    "MixtureDiscretizedLogistic": (3, (2,)),
}


@pytest.mark.parametrize("name", MAPPED)
def test_maps_of_a_convolution_are_parted_by_their_place(name):
    number, each = MAPPED[name]
    arguments = {**CONTRACTS[name], "event_shape": (2, 3, 2)}
    layer = FAMILIES[name].layer(**arguments, convert_to_tensor_fn="mode" if name == "Categorical" else "mean")
    rng = np.random.default_rng(9)
    kinds = [rng.normal(size=[5, 2, 3, 2, *each]).astype("float32") for _ in range(number)]
    maps = np.concatenate([x.reshape(5, 2, 3, -1) for x in kinds], axis=-1)
    flat = np.concatenate([x.reshape(5, -1) for x in kinds], axis=-1)
    assert layer(keras.KerasTensor((None, *maps.shape[1:]))).shape == (None, 2, 3, 2)
    assert layer.distribution(maps).batch_shape == (5,)
    np.testing.assert_array_equal(layer(maps), layer(flat))


@pytest.mark.parametrize(
    ("unknown", "shape"),
    [
        ([None, None], [4, 12]),
        ([None, None, None], [4, 5, 12]),
        ([None, None, None, None], [4, 5, 1, 12]),
        ([None, None, None, 6], [4, 5, 2, 6]),  # a map of a network that takes images of any size
        ([None, 2, None], [4, 2, 12]),
    ],
)
def test_axes_of_parameters_that_only_the_running_graph_knows(unknown, shape):
    layer = layers.Normal((2, 3), convert_to_tensor_fn="mean")
    graph = tf.function(layer, input_signature=[tf.TensorSpec(unknown)])
    params = np.random.default_rng(0).normal(size=shape).astype("float32")
    assert graph.get_concrete_function().output_shapes[-2:] == (2, 3)
    np.testing.assert_array_equal(graph(params), layer(params))
    assert layer(keras.KerasTensor(unknown)).shape[-2:] == (2, 3)
    if unknown[-1] is None:
        with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected shape"):
            graph(np.zeros([*shape[:-1], 5], "float32"))


def test_batches_of_unknown_size_and_rank_two():
    layer = layers.Normal((2, 3), convert_to_tensor_fn="mean")
    inputs = keras.Input((None, 12))
    model = keras.Model(inputs, layer(inputs))
    assert model.output.shape == (None, None, 2, 3)
    params = np.random.default_rng(0).normal(size=[4, 5, 12]).astype("float32")
    np.testing.assert_array_equal(tf.function(model)(params), params[..., :6].reshape(4, 5, 2, 3))


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"must have shape \[\.\.\.,6\]. Received: params.shape=\(4, 5\)"):
        layers.Normal(3)(np.zeros([4, 5]))
    with pytest.raises(ValueError, match=r"\[\.\.\.,12\] or \[\.\.\.,2,6\]. Received: params.shape=\(4, 6\)"):
        layers.Normal((2, 3))(np.zeros([4, 6]))
    for shape in [(0,), (2, -1), ("a",), None, "ab", True, 2.0, np.zeros([2])]:
        with pytest.raises(ValueError, match=r"`event_shape` must be positive integers. Received: event_shape="):
            layers.Bernoulli(shape)
    for params in (np.array([["a", "b"]]), np.array([[1j, 2]])):
        with pytest.raises(ValueError, match=r"`params` must be real numbers. Received: params.dtype="):
            layers.Normal(1).distribution(params)
    for layer in (layers.MultivariateNormalDiag, layers.MultivariateNormalTriL, layers.OneHotCategorical):
        for size in (0, 2.5, "a", (2, 3)):
            with pytest.raises(ValueError, match=r"`event_size` must be a positive integer. Received: event_size="):
                layer.params_size(size)
        with pytest.raises(ValueError, match="Received: event_size=0"):
            layer(0)
    with pytest.raises(ValueError, match=r"`component_params_size` must be a positive integer. Received: .*=<Normal"):
        layers.Mixture.params_size(2, layers.Normal(2))
    with pytest.raises(ValueError, match="Received: num_classes=0"):
        layers.Categorical(0)
    for layer in (layers.MixtureNormal, layers.MixtureDiscretizedLogistic):
        with pytest.raises(ValueError, match="Received: num_components=0"):
            layer(0)
    with pytest.raises(ValueError, match=r"must be a distribution layer. Received: component_layer=3"):
        layers.Mixture(2, 3)
    with pytest.raises(ValueError, match=r"Received: low=1\.0, high=1\.0"):
        layers.MixtureDiscretizedLogistic(2, low=1.0)
    with pytest.raises(ValueError, match="Received: num_levels=1"):
        layers.MixtureDiscretizedLogistic(2, num_levels=1)

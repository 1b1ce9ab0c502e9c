"""Values that a distribution cannot take and shapes that would be broadcast are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import layers
from ikelos.layers import LearnedPrior, NegativeLogLikelihood
from ikelos.layers.distributions.support import levels

NAN, INF = float("nan"), float("inf")
# Distribution layers of two values, a possible event, the description of possible values in the error, and others.
CASES = {
    "Normal": (layers.Normal(2), [-300.0, 1e30], "finite numbers", [NAN, INF, -INF]),
    "Logistic": (layers.Logistic(2), [-300.0, 1e30], "finite numbers", [NAN, INF]),
    "MultivariateNormalDiag": (layers.MultivariateNormalDiag(2), [1.0, -2.0], "finite numbers", [NAN]),
    "MultivariateNormalTriL": (layers.MultivariateNormalTriL(2), [1.0, -2.0], "finite numbers", [INF]),
    "MixtureNormal": (layers.MixtureNormal(3, 2), [1.0, -2.0], "finite numbers", [NAN, -INF]),
    "Bernoulli": (layers.Bernoulli(2), [0.25, 1 + 2**-23], "0, 1 or probabilities", [-0.01, 1.01, 255.0, NAN]),
    "ContinuousBernoulli": (layers.ContinuousBernoulli(2), [0.0, 0.5], "numbers from 0 to 1", [-1.0, 255.0, NAN]),
    "Poisson": (layers.Poisson(2), [0.0, 1000.0], "whole numbers of at least 0", [-1.0, 0.5, INF, NAN]),
    "Categorical": (layers.Categorical(3, 2), [0.0, 2.0], "whole numbers from 0 to 2", [-1.0, 3.0, 0.5, NAN]),
    "OneHotCategorical": (layers.OneHotCategorical(2), [0.25, 0.75], "that sum to 1", [1.0, -0.5, NAN]),
    "Mixture": (layers.Mixture(2, layers.Poisson(2)), [0.0, 7.0], "whole numbers of at least 0", [-1.0, 1.5]),
    "Mixture of classes": (layers.Mixture(2, layers.Categorical(3, 2)), [0.0, 2.0], "from 0 to 2", [3.0, -1.0]),
    "MixtureDiscretizedLogistic": (
        layers.MixtureDiscretizedLogistic(2, 2, low=-1.0, high=1.0),
        [-1.0, 1 / 255],
        r"one of 256 evenly spaced values from -1\.0 to 1\.0",
        # An intensity from 0 to 1 that lies between two levels from -1 to 1.
        [-1.01, 1.01, 2 / 255, 127.0, NAN],
    ),
}
ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def with_value(event, value):
    """Returns three events; in the second one, `value` replaces the second number."""
    events = np.tile(np.float32(event), [3, 1])
    events[1, 1] = value
    return events


@ALL
def test_possible_values_have_the_log_prob_of_their_distribution(case):
    layer, event, _, _ = case
    params = np.random.default_rng(0).normal(size=[3, layer.num_params]).astype("float32")
    events = np.tile(np.float32(event), [3, 1])
    distribution = layer.distribution(params)
    expected = distribution.log_prob(tf.cast(events, distribution.dtype))
    np.testing.assert_array_equal(layer.log_prob(params, events), expected)
    np.testing.assert_allclose(tf.function(layer.log_prob)(params, events), expected, rtol=1e-5)


@ALL
def test_other_values_are_refused(case):
    layer, event, possible, others = case
    params = np.zeros([3, layer.num_params], "float32")
    loss = NegativeLogLikelihood(layer)
    signature = [tf.TensorSpec([None, 2]), tf.TensorSpec([None, layer.num_params])]
    graph = tf.function(loss.__call__, input_signature=signature)
    for value in others:
        events = with_value(event, value)
        message = f"`y_true` must be .*{possible}.* Received: a v[a-z]+ of"
        with pytest.raises(ValueError, match=message):
            loss(events, params)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            graph(events, params)
        with pytest.raises(ValueError, match=f"`inputs` must be .*{possible}"):
            LearnedPrior(layer, initializer="zeros")(events)


@pytest.mark.parametrize("name", ["Normal", "Categorical", "Mixture of classes", "MixtureDiscretizedLogistic"])
def test_other_values_are_nan_under_xla(name):
    layer, event, _, others = CASES[name]
    params = np.random.default_rng(0).normal(size=[3, layer.num_params]).astype("float32")
    compiled = tf.function(layer.log_prob, jit_compile=True)
    events = np.tile(np.float32(event), [3, 1])
    np.testing.assert_allclose(compiled(params, events), layer.log_prob(params, events), rtol=1e-4)
    for value in others:
        scores = compiled(params, with_value(event, value)).numpy()
        # XLA's lowest and highest value leave NaN out, which makes the score of its own event NaN.
        assert np.isnan(scores[1] if np.isnan(value) else scores).all()


def test_the_message_names_the_largest_value():
    layer = layers.Bernoulli(2)
    events = np.float32([[0, 1], [-3, 1], [0, 7]])
    with pytest.raises(ValueError, match=r"^`values` must be 0, 1 or .* Received: a value of 7$"):
        layer.log_prob(np.zeros([3, 2]), events)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[`values` must be .* Received: a value of\] \[7\]\n"):
        tf.function(layer.log_prob)(np.zeros([3, 2]), events)


def test_the_message_names_the_first_vector_that_is_not_one_hot():
    layer = layers.OneHotCategorical(3)
    events = np.float32([[[0, 1, 0]], [[0.5, 0.25, 0]], [[0, 0, 7]]])
    params = np.zeros([3, 1, 3])
    with pytest.raises(ValueError, match=r"^`values` must be one-hot .* Received: a vector of \[0\.5 0\.25 0\]$"):
        layer.log_prob(params, events)
    graph = tf.function(layer.log_prob)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r" Received: a vector of\] \[0\.5 0\.25 0\]\n"):
        graph(params, events)
    compiled = tf.function(layer.log_prob, jit_compile=True)
    assert np.isnan(compiled(params, events)).all()
    for function in (layer.log_prob, graph, compiled):
        assert function(params[:0], events[:0]).shape == (0, 1)
        assert np.isfinite(function(params[:1], events[:1])).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros([3, 4, 4]), r"must have shape \[3,4,4,1\]. Received: values.shape=\(3, 4, 4\)"),
        (np.zeros([3, 16]), r"must have shape \[3,4,4,1\]"),
        (np.zeros([1, 4, 4, 1]), r"must have shape \[3,4,4,1\]"),
        (np.zeros([4, 4, 1]), r"must have shape \[3,4,4,1\]"),
        (np.zeros([3, 1, 4, 1]), r"must have shape \[3,4,4,1\]"),
        (np.zeros([5, 3, 4, 4, 1]), r"must have shape \[3,4,4,1\]"),
        (np.full([3, 4, 4, 1], "a"), r"`values` must be real numbers. Received: values.dtype=string"),
        (None, r"`values` must be real numbers. Received: values=None"),
        (np.zeros([3, 4, 4, 1], "complex64"), r"`values` must be real numbers. Received: values.dtype=complex64"),
    ],
)
def test_shapes_that_would_be_broadcast_and_other_types(values, message):
    layer = layers.Bernoulli((4, 4, 1))
    with pytest.raises(ValueError, match=message):
        layer.log_prob(np.zeros([3, 16], "float32"), values)


def test_sizes_that_only_the_running_graph_knows():
    layer = layers.Bernoulli(2)
    signature = [tf.TensorSpec([None, 2]), tf.TensorSpec([None, None])]
    graph = tf.function(layer.log_prob, input_signature=signature)
    np.testing.assert_allclose(graph(np.zeros([3, 2]), np.zeros([3, 2])), np.full(3, 2 * np.log(0.5)), rtol=1e-6)
    for shape in ([1, 2], [2, 2], [3, 1]):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"`values` must have shape\] \[3 2\] \[. Received: "):
            graph(np.zeros([3, 2]), np.zeros(shape))
    with pytest.raises(ValueError, match=r"`values` must have shape \[B,2\]. Received: values.shape=<unknown>"):
        tf.function(layer.log_prob, input_signature=[signature[0], tf.TensorSpec(None)])(
            np.zeros([3, 2]), np.zeros([3, 2])
        )


def test_sizes_that_differ_are_nan_under_xla():
    signature = [tf.TensorSpec([None, 2]), tf.TensorSpec([None, 2])]
    compiled = tf.function(layers.Bernoulli(2).log_prob, input_signature=signature, jit_compile=True)
    assert np.isnan(compiled(np.zeros([3, 2]), np.zeros([1, 2]))).all()


@pytest.mark.parametrize("num_levels", [2, 256, 65_536])
def test_levels_allow_for_rounding(num_levels):
    whole = np.arange(num_levels)
    scaled = (whole / (num_levels - 1)).astype("float32")
    support = levels(-1.0, 1.0, num_levels)
    assert tf.reduce_all(support.contains(2 * scaled - 1))
    assert not tf.reduce_any(support.contains(2 * scaled - 1 + 1 / (num_levels - 1)))
    assert tf.reduce_all(levels(0, num_levels - 1, num_levels).contains(whole.astype("float32")))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64", "bool"])
def test_values_of_any_numeric_type(dtype):
    values = np.array([[0, 1], [1, 1]]).astype(dtype)
    for layer in (layers.Bernoulli(2), layers.Categorical(2, 2), layers.Poisson(2), layers.Normal(2)):
        params = np.random.default_rng(0).normal(size=[2, layer.num_params]).astype("float32")
        np.testing.assert_array_equal(layer.log_prob(params, values), layer.log_prob(params, np.float32(values)))


def test_fit_and_evaluate_refuse_other_targets():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", NegativeLogLikelihood(layers.Poisson(2)))
    x, y = np.zeros([8, 4]), np.ones([8, 2])
    assert np.isfinite(model.evaluate(x, y, verbose=0))
    y[5, 1] = -1
    for method in (model.fit, model.evaluate):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"`y_true` must be whole numbers of at least 0.* \[-1\]"
        ):
            method(x, y, verbose=0)


def test_empty_batches_have_nothing_to_refuse():
    layer = layers.Bernoulli(2)
    for function in (layer.log_prob, tf.function(layer.log_prob)):
        assert function(np.zeros([0, 2], "float32"), np.zeros([0, 2], "float32")).shape == (0,)


@pytest.mark.parametrize(
    "prior", [lambda: layers.StandardNormalPrior(2), lambda: layers.RealNVPPrior(2)], ids=["normal", "flow"]
)
def test_priors_refuse_other_inputs(prior):
    prior = prior()
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[\.\.\.,2\]. Received: inputs.shape=\(4, 1\)"):
        prior(np.zeros([4, 1]))
    with pytest.raises(ValueError, match=r"`inputs` must be finite numbers\. Received: a value of nan"):
        prior(np.full([4, 2], NAN))
    assert prior(np.zeros([5, 4, 2])).shape == (5, 4)

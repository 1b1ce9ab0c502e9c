import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from ikelos.layers import Bernoulli, Categorical, MixtureDiscretizedLogistic, NegativeLogLikelihood, Normal

tfd = tfp.distributions


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_is_the_mean_of_the_events(rng):
    params, values = rng.normal(size=[5, 12]).astype("float32"), rng.normal(size=[5, 2, 3]).astype("float32")
    loc, scale = params[:, :6].reshape(values.shape), params[:, 6:].reshape(values.shape)
    expected = -tfd.Normal(loc, np.logaddexp(scale, 0) + 1e-5).log_prob(values).numpy().sum((1, 2))
    layer = Normal((2, 3))
    np.testing.assert_allclose(NegativeLogLikelihood(layer)(values, params), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(NegativeLogLikelihood(layer, reduction=None)(values, params), expected, rtol=1e-5)
    weights = np.array([0, 1, 2, 0, 0], "float32")
    weighted = NegativeLogLikelihood(layer)(values, params, sample_weight=weights)
    np.testing.assert_allclose(weighted, (weights * expected).mean(), rtol=1e-5)


def test_takes_targets_of_any_dtype(rng):
    params = rng.normal(size=[3, 4, 5]).astype("float32")
    ids = rng.integers(0, 5, [3, 4])
    stock = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for dtype in ("int32", "int64", "uint8", "float32"):
        loss = NegativeLogLikelihood(Categorical(5))(ids.astype(dtype), params)
        np.testing.assert_allclose(loss, stock(ids, params), rtol=1e-6)


def test_leaves_masked_events_out(rng):
    params, ids = tf.constant(rng.normal(size=[2, 3, 5]), tf.float32), rng.integers(0, 5, [2, 3])
    mask = np.array([[True, True, False], [True, False, False]])
    loss = NegativeLogLikelihood(Categorical(5), reduction=None)(ids, params).numpy()
    params._keras_mask = tf.constant(mask)
    np.testing.assert_allclose(NegativeLogLikelihood(Categorical(5))(ids, params), loss[mask].mean(), rtol=1e-6)


def test_refuses_targets_that_would_be_broadcast():
    with pytest.raises(ValueError, match=r"must have shape \[4\]. Received: y_true.shape=\(4, 1\)"):
        NegativeLogLikelihood(Bernoulli())(np.zeros([4, 1]), np.zeros([4, 1]))


def test_computes_in_float32_under_mixed_precision(rng):
    params, values = rng.normal(size=[2, 784]).astype("float32"), rng.integers(0, 2, [2, 784])
    expected = NegativeLogLikelihood(Bernoulli(784))(values, params)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        actual = NegativeLogLikelihood(Bernoulli(784))(values, params)
    finally:
        keras.config.set_dtype_policy("float32")
    assert actual.dtype == tf.float32
    np.testing.assert_array_equal(actual, expected)


def test_config_round_trip():
    distribution = MixtureDiscretizedLogistic(3, (2, 2), num_levels=16)
    loss = NegativeLogLikelihood(distribution, reduction="sum", name="nll", dtype="float64")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert (again.reduction, again.name, again.dtype) == ("sum", "nll", "float64")
    assert again.distribution.num_levels == 16

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import Categorical, LearnedPrior, MixtureNormal, Normal


def test_has_the_distribution_of_its_weights():
    prior = LearnedPrior(Normal(2))
    prior.params.assign([1.0, -1.0, 0.5, 2.0])
    np.testing.assert_allclose(prior.distribution().mean(), [1, -1])
    np.testing.assert_allclose(prior.distribution().stddev(), np.logaddexp([0.5, 2.0], 0) + 1e-5, rtol=1e-6)


def test_discrete_prior_learns_frequencies():
    ids = np.array([0, 0, 0, 2, 2, 2, 2, 2, 2, 1])
    prior = LearnedPrior(Categorical(3), initializer="zeros")
    optimizer = keras.optimizers.SGD(2.0)
    for _ in range(50):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(prior.distribution().log_prob(ids))
        optimizer.apply_gradients([(tape.gradient(loss, prior.params.value), prior.params)])
    np.testing.assert_allclose(tf.nn.softmax(prior.params), [0.3, 0.1, 0.6], atol=0.01)


def test_components_start_apart():
    prior = LearnedPrior(MixtureNormal(3, 2))
    assert len(np.unique(prior.distribution().components_distribution.mean(), axis=0)) == 3
    assert prior.params.shape == (MixtureNormal.params_size(3, 2),)
    assert prior.params.path.startswith(prior.name)


def test_weights_are_trainable_unless_told_otherwise():
    assert len(LearnedPrior(Normal(2)).trainable_weights) == 1
    assert LearnedPrior(Normal(2), trainable=False).trainable_weights == []
    with pytest.raises(ValueError, match="initializer"):
        LearnedPrior(Normal(2), initializer="no such")

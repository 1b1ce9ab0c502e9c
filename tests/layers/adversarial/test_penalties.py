import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import FusedLSTM, FusedRMSNormalization
from ikelos.layers.adversarial.penalties import PENALTIES, gradient_penalty, r1, r2, weighted_penalties

SEED = tf.constant([3, 4])


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    return [tf.constant(rng.normal(size=[5, 3]), tf.float32) for _ in range(2)]


def square(x):
    """Returns the scores of a discriminator whose gradient at x is (2 x1, 4 x2, 6 x3)."""
    return tf.reduce_sum(tf.constant([1.0, 2.0, 3.0]) * x**2, axis=1, keepdims=True)


def test_r1_and_r2_are_the_papers_equations(samples):
    real, fake = samples
    for function, x in ((r1, real), (r2, fake)):
        expected = ((np.array([2, 4, 6]) * x.numpy().astype("float64")) ** 2).sum(1).mean() / 2
        np.testing.assert_allclose(function(square, real, fake, SEED), expected, rtol=1e-6)


def test_gradient_penalty_is_taken_between_real_and_generated(samples):
    # One share for each sample, all of its values alike.
    seen = []

    def recorded(x):
        seen.append(x.numpy())
        return square(x)

    penalty = gradient_penalty(recorded, *samples, SEED)
    real, fake = (x.numpy() for x in samples)
    shares = (seen[0] - fake) / (real - fake)
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1], shares.shape), rtol=1e-4)
    assert (shares > 0).all()
    assert (shares < 1).all()
    assert np.ptp(shares[:, 0]) > 0.2
    lengths = np.linalg.norm(np.array([2, 4, 6]) * seen[0].astype("float64"), axis=1)
    np.testing.assert_allclose(penalty, ((lengths - 1) ** 2).mean(), rtol=1e-6)


def test_gradient_penalty_of_a_line_is_that_of_its_slope(samples):
    direction = tf.constant([[2.0], [-1.0], [2.0]])  # of length 3
    np.testing.assert_allclose(gradient_penalty(lambda x: x @ direction, *samples, SEED), 4, rtol=1e-6)
    np.testing.assert_allclose(r1(lambda x: x @ direction, *samples, SEED), 4.5, rtol=1e-6)


def test_a_map_of_patches_counts_as_its_mean(samples):
    for function in PENALTIES.values():
        whole = function(square, *samples, SEED)
        patches = function(lambda x: tf.tile(square(x)[:, None, None], [1, 4, 2, 1]), *samples, SEED)
        flat = function(lambda x: square(x)[:, 0], *samples, SEED)
        np.testing.assert_allclose([patches, flat], [whole, whole], rtol=1e-6)


def test_flat_discriminator_has_finite_second_gradients(samples):
    weight = tf.Variable(0.0)
    for function in PENALTIES.values():
        with tf.GradientTape() as tape:
            penalty = function(lambda x: weight * square(x), *samples, SEED)
        assert np.isfinite(tape.gradient(penalty, weight))
    np.testing.assert_allclose(gradient_penalty(lambda x: 0 * square(x), *samples, SEED), 1, rtol=1e-5)


def test_weights(samples):
    values = weighted_penalties({"r2": 3.0, "r1": 0.5}, square, *samples, SEED)
    np.testing.assert_allclose(values["r2"], 3 * r2(square, *samples, SEED))
    np.testing.assert_allclose(values["r1"], 0.5 * r1(square, *samples, SEED))
    assert len(values) == 2


# A numeric gradient's errors: 1e-6 of the third derivative, and of rounding 1e-7 of the value over 1e-3.
STEP = 1e-3


# The LSTM's second gradient under XLA takes half a minute to compile.
@pytest.mark.parametrize(
    ("layers", "jit_compile"),
    [
        (lambda: [keras.layers.Conv1D(4, 2, activation="tanh"), keras.layers.Flatten()], False),
        (lambda: [keras.layers.Dense(4, "tanh"), FusedRMSNormalization(), keras.layers.Flatten()], True),
        (lambda: [FusedLSTM(4)], False),
    ],
    ids=["convolution", "normalisation", "LSTM"],
)
def test_gradient_for_the_discriminators_weights(layers, jit_compile):
    # The gradient of a gradient, through the native ops too.
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((2, 3)), *layers(), keras.layers.Dense(1)])
    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.normal(size=[2, 2, 3]), tf.float32) for _ in range(2))
    weight = network.trainable_variables[0]

    @tf.function(jit_compile=jit_compile)
    def penalty_and_gradient():
        with tf.GradientTape() as tape:
            total = gradient_penalty(network, real, fake, SEED)
        return total, tape.gradient(total, weight.value)

    actual = penalty_and_gradient()[1]
    direction = rng.normal(size=weight.shape).astype("float32")
    start, values = weight.numpy(), []
    for step in (STEP, -STEP):
        weight.assign(start + step * direction)
        values.append(float(penalty_and_gradient()[0]))
    expected = (values[0] - values[1]) / (2 * STEP)
    assert abs(expected) > 0.01
    np.testing.assert_allclose((actual * direction).numpy().sum(), expected, rtol=1e-2)

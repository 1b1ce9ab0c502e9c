import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.adversarial.losses import LOSSES

EDGES = np.array([-50.0, -3.0, -1.0, -0.2, 0.0, 0.3, 1.0, 2.5, 50.0])


def log_sigmoid(scores):
    return -np.logaddexp(0, -scores)


# The papers' equations, of scores x and y in float64. log(1 - sigmoid(y)) = log sigmoid(-y).
EQUATIONS = {
    "min_max": (
        lambda x, y: -log_sigmoid(x).mean() - log_sigmoid(-y).mean(),
        lambda y: log_sigmoid(-y).mean(),
    ),
    "non_saturating": (
        lambda x, y: -log_sigmoid(x).mean() - log_sigmoid(-y).mean(),
        lambda y: -log_sigmoid(y).mean(),
    ),
    "hinge": (
        lambda x, y: -np.minimum(0, x - 1).mean() - np.minimum(0, -y - 1).mean(),
        lambda y: -y.mean(),
    ),
    "wasserstein": (lambda x, y: y.mean() - x.mean(), lambda y: -y.mean()),
    "least_squares": (
        lambda x, y: 0.5 * ((x - 1) ** 2).mean() + 0.5 * (y**2).mean(),
        lambda y: 0.5 * ((y - 1) ** 2).mean(),
    ),
}


def test_there_is_an_equation_for_each():
    assert EQUATIONS.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", LOSSES)
def test_is_the_papers_equation(name):
    loss, (discriminator, generator) = LOSSES[name], EQUATIONS[name]
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=[3, 4, 4, 1], scale=3) for _ in range(2)]
    for real, fake in ((EDGES, EDGES[::-1]), (EDGES, -EDGES), maps):
        for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-6)):
            scores = [tf.constant(scores, dtype) for scores in (real, fake)]
            assert loss.discriminator(*scores).dtype == dtype
            np.testing.assert_allclose(loss.discriminator(*scores), discriminator(real, fake), tolerance, 1e-6)
            np.testing.assert_allclose(loss.generator(scores[1]), generator(fake), tolerance, 1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_equations(name):
    loss, (discriminator, generator) = LOSSES[name], EQUATIONS[name]
    # Off the hinges at -1 and 1, where there is a gradient on either side alone.
    real, fake = EDGES + 0.01, EDGES[::-1] - 0.01
    scores = [tf.constant(scores, tf.float32) for scores in (real, fake)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        losses = loss.discriminator(*scores), loss.generator(scores[1])
    actual = [*tape.gradient(losses[0], scores), tape.gradient(losses[1], scores[1])]
    for gradient, function, at in zip(
        actual,
        (lambda x: discriminator(x, fake), lambda y: discriminator(real, y), generator),
        (real, fake, fake),
        strict=True,
    ):
        steps = 1e-4 * np.eye(len(at))
        expected = [(function(at + step) - function(at - step)) / 2e-4 for step in steps]
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_left_before_the_sums(name):
    loss = LOSSES[name]
    real, fake = (tf.cast(tf.constant(scores), tf.bfloat16) for scores in (EDGES, -EDGES))
    for function, scores in ((loss.discriminator, (real, fake)), (loss.generator, (fake,))):
        half = function(*scores)
        assert half.dtype == tf.float32
        np.testing.assert_array_equal(half, function(*(tf.cast(x, tf.float32) for x in scores)))


def test_value_of_the_game_at_its_optimum():
    # Goodfellow et al. 2014, theorem 1: V = -log 4 where generated equals real, and elsewhere, with the optimal
    # discriminator D = p / (p + q) of proposition 1, V = -log 4 + 2 JSD(p, q).
    value = LOSSES["min_max"].discriminator(tf.zeros([8]), tf.zeros([8]))
    assert float(value) == pytest.approx(np.log(4))
    p, q = np.array([0.5, 0.25, 0.125, 0.125]), np.array([0.125, 0.125, 0.25, 0.5])
    middle = (p + q) / 2
    divergence = 0.5 * (p * np.log(p / middle)).sum() + 0.5 * (q * np.log(q / middle)).sum()
    logits = np.log(p / q)
    samples = [np.repeat(logits, (8 * shares).astype(int)).astype("float32") for shares in (p, q)]
    value = -LOSSES["min_max"].discriminator(*map(tf.constant, samples))
    assert float(value) == pytest.approx(-np.log(4) + 2 * divergence, rel=1e-6)


def test_optimal_values_of_the_others():
    # Mao et al. 2017, equation 5: D = (b p + a q) / (p + q) = 1/2 where p = q, with a = 0 and b = 1.
    assert float(LOSSES["least_squares"].discriminator(tf.fill([4], 0.5), tf.fill([4], 0.5))) == 0.25
    # Lim & Ye 2017, section 3: 2 at equilibrium, for any score between -1 and 1.
    for score in (-0.9, 0.0, 0.4):
        assert float(LOSSES["hinge"].discriminator(*2 * [tf.fill([4], score)])) == pytest.approx(2)
    # The distance of the points 3 and 1.5 on a line, with the optimal critic score(x) = x.
    assert float(LOSSES["wasserstein"].discriminator(tf.constant([3.0]), tf.constant([1.5]))) == -1.5


def test_thresholds_part_real_from_generated():
    real, fake = tf.constant([7.0, 9.0]), tf.constant([1.0, 3.0])
    thresholds = {name: float(loss.threshold(real, fake)) for name, loss in LOSSES.items()}
    assert thresholds == {"min_max": 0, "non_saturating": 0, "hinge": 0, "wasserstein": 5, "least_squares": 0.5}

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.decoding import allow, chain, generate, greedy, row_uniforms, sample, sampling

LARGEST_BELOW_1 = np.nextafter(np.float32(1), np.float32(0))
LOGITS = np.array([0.3, 2.0, -1.0, 1.5, -0.2, 1.9, 0.0], "float32")


def filtered(logits, temperature, top_k, top_p, allowed=None):
    """Returns the exact distribution, in float64."""
    logits = logits.astype("float64") if allowed is None else np.where(allowed, logits, -np.inf)
    probabilities = np.exp((logits - logits.max()) / temperature)
    order = np.argsort(-probabilities, kind="stable")
    kept = order[: top_k or None]
    mass = probabilities[kept] / probabilities[kept].sum()
    before = np.cumsum(mass) - mass
    kept = kept[before < top_p]
    result = np.zeros_like(probabilities)
    result[kept] = probabilities[kept] / probabilities[kept].sum()
    return result


def draws(logits, uniforms, temperature=1.0, top_k=0, top_p=1.0, allowed=None):
    count = len(uniforms)
    logits = tf.constant(np.broadcast_to(logits, [count, np.shape(logits)[-1]]))
    if allowed is not None:
        logits = allow(allowed)(logits, 0, tf.zeros([count, 1], tf.int32))
    return sample(logits, tf.constant(uniforms, tf.float32), temperature, top_k, top_p).numpy()


@pytest.mark.pairwise
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 3, 100])
@pytest.mark.parametrize("top_p", [1e-6, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("allowed", [None, [True, False, True, True, False, True, True]])
def test_an_even_grid_of_uniforms_gives_the_exact_frequencies(temperature, top_k, top_p, allowed):
    count = 4000
    uniforms = (np.arange(count) + 0.5) / count
    tokens = draws(LOGITS, uniforms, temperature, top_k, top_p, allowed)
    expected = filtered(LOGITS, temperature, top_k, top_p, allowed)
    frequencies = np.bincount(tokens, minlength=7) / count
    # Each token takes one interval of the grid, which is off by less than a point at each end.
    np.testing.assert_allclose(frequencies, expected, rtol=0, atol=2 / count)
    assert (frequencies[expected == 0] == 0).all()


@pytest.mark.parametrize("seed", range(30))
def test_generated_settings_give_the_exact_frequencies(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(2, 60)
    logits = (rng.normal(size=size) * rng.uniform(0.1, 5)).astype("float32")
    temperature, top_k, top_p = rng.uniform(0.1, 3), rng.integers(0, size + 2), rng.uniform(0.01, 1)
    allowed = rng.random(size) < 0.7
    allowed[rng.integers(size)] = True
    count = 4000
    tokens = draws(logits, (np.arange(count) + 0.5) / count, temperature, top_k, top_p, allowed)
    expected = filtered(logits, np.float32(temperature), top_k, np.float32(top_p), allowed)
    np.testing.assert_allclose(np.bincount(tokens, minlength=size) / count, expected, rtol=0, atol=2 / count)


def test_random_draws_have_the_right_frequencies():
    count = 20000
    uniforms = row_uniforms(tf.range(200, dtype=tf.int64), 100).numpy().reshape(-1)
    expected = filtered(LOGITS, 0.8, 5, 0.95)
    observed = np.bincount(draws(LOGITS, uniforms, 0.8, 5, 0.95), minlength=7)
    kept = expected > 0
    chi_square = ((observed - count * expected)[kept] ** 2 / (count * expected[kept])).sum()
    # 99.9% of draws from the right distribution are below 18.5, for four tokens' freedom or fewer.
    assert kept.sum() <= 5
    assert chi_square < 18.5
    assert observed[~kept].sum() == 0


@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-38, 1e-6])
def test_temperature_zero_is_the_limit(temperature):
    uniforms = [0.0, 0.3, LARGEST_BELOW_1]
    np.testing.assert_array_equal(draws(LOGITS * 100, uniforms, temperature), [1, 1, 1])
    # Of equals the first is taken where temperature is 0, whatever the uniform.
    if temperature == 0:
        np.testing.assert_array_equal(draws(np.zeros([5], "float32"), uniforms, temperature), [0, 0, 0])


def test_equals_share_evenly_at_any_temperature():
    uniforms = [0.0, 0.499, 0.5, LARGEST_BELOW_1]
    for temperature in (1e-37, 1.0, 1e30):
        tokens = draws(np.array([1000.0, 0.0, 1000.0], "float32"), uniforms, temperature, top_k=2)
        np.testing.assert_array_equal(tokens, [0, 0, 2, 2])


@pytest.mark.parametrize("size", [2, 97, 5000])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_extreme_uniforms_take_the_first_and_the_last_kept(size, spread):
    logits = (np.random.default_rng(size).normal(size=size) * spread).astype("float32")
    for top_k in (0, 2):
        tokens = draws(logits, [0.0, LARGEST_BELOW_1], top_k=top_k)
        order = np.argsort(-logits, kind="stable")
        assert tokens[0] == order[0]
        assert tokens[1] in (order[:top_k] if top_k else order)
        if (size == 2 and spread == 0) or (top_k == 2 and spread < 30):
            assert tokens[1] == order[1]


@pytest.mark.parametrize("impossible", [-np.inf, np.finfo("float32").min, -1e30])
def test_impossible_tokens_are_never_drawn(impossible):
    logits = np.array([impossible, 0.0, impossible, 1.0, impossible], "float32")
    uniforms = np.concatenate([np.linspace(0, 1, 100, endpoint=False), [LARGEST_BELOW_1]])
    for temperature in (0.0, 0.01, 1.0, 100.0):
        assert set(draws(logits, uniforms, temperature)) <= {1, 3}
        # Only one that is allowed is left.
        assert set(draws(logits, uniforms, temperature, allowed=[True, True, True, False, True])) == {1}


def test_logits_all_very_small():
    logits = np.array([-3e38, -3.3e38], "float32")
    np.testing.assert_array_equal(draws(logits, [0.0, LARGEST_BELOW_1]), [0, 0])


def test_allowed_row_by_row():
    allowed = np.array([[True, False, False], [False, True, False], [False, False, True]])
    np.testing.assert_array_equal(draws(np.zeros([3], "float32"), [0.5] * 3, allowed=allowed), [0, 1, 2])


def test_one_setting_serves_all_rows():
    rng = np.random.default_rng(0)
    logits, uniforms = (tf.constant(rng.random(shape), tf.float32) for shape in ([6, 11], [6]))
    by_row = [tf.fill([6], x) for x in (0.7, 5, 0.8)]
    np.testing.assert_array_equal(sample(logits, uniforms, 0.7, 5, 0.8), sample(logits, uniforms, *by_row))
    np.testing.assert_array_equal(sample(logits, uniforms), sample(logits, uniforms, 1.0, 0, 1.0))


def test_whole_texts_have_the_right_frequencies(table_model, slow, log_probabilities):
    # Without token 0, which so is padding alone.
    model, prompt, count, allowed = table_model(4, 0, spread=1.0), [1, 3], 6000, np.arange(4) > 0

    @tf.function
    def draw():
        uniforms = row_uniforms(tf.range(count, dtype=tf.int64), 3)
        choose = chain(allow(allowed), sampling(uniforms, temperature=0.8))
        return generate(
            model, tf.constant([prompt] * count), tf.fill([count], 2), tf.fill([count], 3), choose, end_id=2
        )

    def following(text):
        return log_probabilities(np.where(allowed, model.logits(prompt + text) / 0.8, -np.inf))

    expected = slow(following, 3, 0.0).all_texts()
    chances = np.array([np.exp(score) for score, _ in expected])
    np.testing.assert_allclose(chances.sum(), 1)
    drawn = draw().numpy()
    observed = np.array([(drawn == text).all(axis=1).sum() for _, text in expected])
    assert observed.sum() == count
    chi_square = ((observed - count * chances) ** 2 / (count * chances)).sum()
    # 15 texts: 99.9% of draws from the right distribution are below 36.1, for 14 degrees of freedom.
    assert len(expected) == 15
    assert chi_square < 36.1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_greedy_takes_the_first_of_the_likeliest(jit_compile):
    logits = np.array([[0.0, 3.0, 3.0], [-np.inf, -5.0, -7.0], [np.inf, 0.0, np.inf]], "float32")
    tokens = tf.function(greedy, jit_compile=jit_compile)(logits, 0, None)
    assert (tokens.dtype, tokens.numpy().tolist()) == (tf.int32, [1, 1, 0])


def test_greedy_draws_nothing():
    graph = tf.function(greedy).get_concrete_function(tf.TensorSpec([None, 9]), 0, None).graph
    assert not [op.type for op in graph.get_operations() if "Random" in op.type]


def test_rows_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    rows = [
        rng.normal(size=[6, 11]).astype("float32"),
        rng.random(6).astype("float32"),
        np.array([0.0, 0.5, 1.0, 2.0, 0.1, 1.0], "float32"),
        np.array([0, 1, 3, 0, 20, 5], "int32"),
        np.array([1.0, 0.5, 0.9, 0.1, 1.0, 0.7], "float32"),
    ]
    together = sample(*(tf.constant(x) for x in rows)).numpy()
    alone = [sample(*(tf.constant(x[i : i + 1]) for x in rows)).numpy()[0] for i in range(6)]
    np.testing.assert_array_equal(together, alone)


def test_uniforms_depend_on_their_rows_seed_alone():
    seeds = tf.constant([5, -7, 2**62, 0, 5], tf.int64)
    uniforms = row_uniforms(seeds, 50).numpy()
    assert uniforms.dtype == np.float32
    assert ((uniforms >= 0) & (uniforms < 1)).all()
    np.testing.assert_array_equal(uniforms[0], uniforms[4])
    assert len({row.tobytes() for row in uniforms}) == 4
    for i in range(5):
        np.testing.assert_array_equal(row_uniforms(seeds[i : i + 1], 50)[0], uniforms[i])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_uniforms_do_not_depend_on_their_count(jit_compile):
    seeds = tf.constant([3, 4], tf.int64)
    draw = tf.function(row_uniforms, jit_compile=jit_compile)
    for count in (1, 3, 4, 33):
        np.testing.assert_array_equal(draw(seeds, count), draw(seeds, 70)[:, :count])


def test_no_rows():
    assert row_uniforms(tf.zeros([0], tf.int64), 5).shape == (0, 5)

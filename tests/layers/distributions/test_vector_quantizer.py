import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import VectorQuantizer
from ikelos.layers.testing import check_layer


def quantizer(codes, **arguments):
    layer = VectorQuantizer(*np.shape(codes), **arguments)
    layer.sums.assign(codes)
    return layer


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def nearest(x, codes):
    return ((x[..., None, :].astype("float64") - codes) ** 2).sum(-1).argmin(-1)


def test_keeps_a_layers_promises():
    check_layer(
        VectorQuantizer,
        {"num_embeddings": 5, "embedding_dim": 3},
        vectors(2, 4, 3) / 20,
        config_kwargs={"commitment_cost": 0.5, "decay": 0.9, "epsilon": 1e-3},
    )


def test_gives_the_nearest_codes():
    codes, x = vectors(7, 3), vectors(2, 4, 5, 3, seed=1)
    layer = quantizer(codes)
    np.testing.assert_allclose(layer.codebook(), codes, rtol=1e-6)
    ids = layer.encode(x)
    assert ids.dtype == tf.int32
    np.testing.assert_array_equal(ids, nearest(x, codes))
    np.testing.assert_allclose(layer.decode(ids), codes[ids], rtol=1e-6)
    np.testing.assert_allclose(layer(x), codes[ids], rtol=1e-5, atol=1e-6)


def test_gradient_passes_straight_through():
    x = tf.constant(vectors(4, 3))
    layer, weights = quantizer(vectors(7, 3, seed=2), commitment_cost=0.3), vectors(4, 3, seed=1)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        outputs = tf.reduce_sum(layer(x) * weights)
        (commitment,) = layer.losses
    np.testing.assert_array_equal(tape.gradient(outputs, x), weights)
    distance = x - layer.decode(layer.encode(x))
    assert float(commitment) == pytest.approx(0.3 * np.mean(distance**2), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(commitment, x), 0.3 * 2 * distance / 12, rtol=1e-5)
    assert layer.trainable_variables == []


def test_codes_move_to_the_running_mean_of_their_vectors():
    """van den Oord et al. 2017, appendix A.1, equations 6 to 8, in float64."""
    codes = vectors(4, 3).astype("float64")
    layer = quantizer(codes, decay=0.9, epsilon=1e-5)
    counts, sums = np.ones(4), codes.copy()
    for step in range(5):
        x = vectors(20, 3, seed=step + 1)
        ids = nearest(x, codes)
        np.testing.assert_array_equal(layer.encode(x), ids)
        layer(x, training=True)
        counts = 0.9 * counts + 0.1 * np.bincount(ids, minlength=4)
        sums = 0.9 * sums + 0.1 * np.stack([x[ids == i].astype("float64").sum(0) for i in range(4)])
        smooth = (counts + 1e-5) / (counts.sum() + 4e-5) * counts.sum()
        codes = sums / smooth[:, None]
        np.testing.assert_allclose(layer.codebook(), codes, rtol=1e-4, atol=1e-6)
    before = layer.codebook()
    layer(x)
    np.testing.assert_array_equal(layer.codebook(), before)


def test_codes_find_clusters():
    centres = np.array([[0, 0], [5, 0], [0, 5], [5, 5]], "float32")
    x = np.repeat(centres, 50, axis=0) + vectors(200, 2) * 0.1
    layer = quantizer(centres * 0.5 + 1.2, decay=0.5)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile("sgd", loss=None, jit_compile=True)
    logs = model.fit(x, epochs=12, batch_size=200, verbose=0).history
    expected = x.reshape(4, 50, 2).mean(1)
    np.testing.assert_allclose(layer.codebook(), expected, atol=0.02)
    assert logs["perplexity"][-1] == pytest.approx(4, rel=1e-3)
    assert logs["loss"][-1] < 0.01 < logs["loss"][0]


def test_perplexity_counts_codes_in_use():
    layer = quantizer([[0.0], [1.0], [2.0], [3.0]], decay=0.0)
    assert float(layer.perplexity.result()) == pytest.approx(4)
    layer(np.array([[0.1], [0.0], [0.2], [0.1]]), training=True)
    assert float(layer.perplexity.result()) == pytest.approx(1, rel=1e-5)
    layer = quantizer([[0.0], [1.0], [2.0], [3.0]], decay=0.0)
    layer(np.array([[0.1], [0.0], [3.0], [3.0]]), training=True)
    assert float(layer.perplexity.result()) == pytest.approx(2, rel=1e-5)


def test_finds_codes_in_float32_under_mixed_precision():
    codes, x = vectors(64, 8), vectors(50, 8, seed=1)
    layer = VectorQuantizer(64, 8, dtype="mixed_bfloat16")
    layer.sums.assign(codes)
    outputs = layer(x)
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_array_equal(layer.encode(x), nearest(x, codes))


def test_errors_name_the_argument():
    for name in ("num_embeddings", "embedding_dim"):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}=0"):
            VectorQuantizer(**{"num_embeddings": 2, "embedding_dim": 2, name: 0})
    with pytest.raises(ValueError, match="Received: decay=1"):
        VectorQuantizer(2, 2, decay=1)
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[...,2\]. Received: inputs.shape=\(4, 3\)"):
        VectorQuantizer(2, 2)(np.zeros([4, 3]))
    layer = VectorQuantizer(2, 2)
    for call in (layer, layer.encode):
        with pytest.raises(ValueError, match=r"`inputs` must be finite numbers. Received: a value of nan"):
            call(np.full([4, 2], np.nan))
    for ids in ([0, 2], [-1], [0.5]):
        with pytest.raises(ValueError, match=r"`ids` must be whole numbers from 0 to 1. Received: a value of"):
            layer.decode(ids)
    assert np.isnan(tf.function(layer.decode, jit_compile=True)([[0, 2]])).all()
    for name, value in {"decay": "a", "epsilon": 0, "commitment_cost": -1.0}.items():
        with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
            VectorQuantizer(2, 2, **{name: value})


def test_the_commitment_cost_may_be_a_variable(tmp_path):
    cost, x = keras.Variable(0.5), vectors(4, 3)
    model = keras.Sequential([keras.Input((3,)), VectorQuantizer(5, 3, commitment_cost=cost)])
    model(x)
    (half,) = model.losses
    cost.assign(1.0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    again(x)
    np.testing.assert_allclose(again.losses, [2 * half], rtol=1e-6)

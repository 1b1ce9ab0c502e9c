import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import CausalSelfAttention
from ikelos.layers.testing import check_layer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_keeps_a_layers_promises():
    config = {
        "num_heads": 4,
        "num_key_value_heads": 2,
        "window": 3,
        "max_wavelength": 50.0,
        "kernel_initializer": "he_normal",
        "output_initializer": "he_uniform",
    }
    check_layer(CausalSelfAttention, config, normal(2, 5, 16))


def expected_attention(layer, x, window):
    """One token after another in float64, with pairs of features as complex numbers."""
    (batch, steps, _), size, heads = x.shape, layer.head_size, layer.num_heads
    group = heads // layer.num_key_value_heads
    query, key, value = (
        (x.astype("float64") @ part.kernel.numpy()).reshape(batch, steps, -1, size)
        for part in (layer.query, layer.key, layer.value)
    )
    turns = np.exp(1j * np.arange(steps)[:, None] * layer.max_wavelength ** (-np.arange(0, size, 2) / size))
    query, key = ((y[..., : size // 2] + 1j * y[..., size // 2 :]) * turns[:, None] for y in (query, key))
    outputs = np.zeros([batch, steps, heads, size])
    for t in range(steps):
        seen = slice(0 if window is None else max(0, t - window + 1), t + 1)
        for n in range(heads):
            # The real part of a product with a conjugate is the dot product of the pairs.
            logits = (key[:, seen, n // group] * query[:, t, None, n].conj()).real.sum(-1) / size**0.5
            weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            outputs[:, t, n] = (weights[..., None] * value[:, seen, n // group]).sum(1)
    return outputs.reshape(batch, steps, -1) @ layer.output_projection.kernel.numpy()


@pytest.mark.parametrize(("window", "key_heads"), [(None, 4), (None, 1), (1, 2), (3, 2), (6, 4), (7, 4), (100, 4)])
def test_follows_the_definition(window, key_heads):
    x = normal(2, 7, 16)
    layer = CausalSelfAttention(4, key_heads, window=window, max_wavelength=20.0)
    outputs = layer(x)
    np.testing.assert_allclose(outputs, expected_attention(layer, x, window), rtol=0, atol=1e-5)


def test_the_future_does_not_change_the_past():
    x = normal(1, 9, 8)
    layer = CausalSelfAttention(2)
    before = layer(x).numpy()
    x[:, 5] += 1
    after = layer(x).numpy()
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (np.abs(before - after)[:, 5:].max(axis=-1) > 1e-3).all()


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("pieces", [[9], [1] * 9, [4, 1, 1, 3]])
def test_a_cache_gives_what_one_call_gives(window, pieces):
    x = normal(2, 9, 16)
    layer = CausalSelfAttention(4, 2, window=window)
    whole = layer(x)
    cache, outputs = layer.empty_cache(2, 12), []
    for piece in tf.split(x, pieces, axis=1):
        output, cache = layer(piece, cache=cache)
        outputs.append(output)
    np.testing.assert_allclose(tf.concat(outputs, axis=1), whole, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(cache.length, [9, 9])


@pytest.mark.parametrize("window", [None, 3])
def test_a_cache_of_rows_of_unequal_length(window):
    x, lengths = normal(3, 8, 16), [8, 1, 5]
    layer = CausalSelfAttention(4, window=window)
    whole = layer(np.concatenate([x, x[:, :3]], axis=1))
    padded = np.where(np.arange(8)[None, :, None] < np.array(lengths)[:, None, None], x, 9.0)
    _, cache = layer(padded, cache=layer.empty_cache(3, 12), num_valid=tf.constant(lengths))
    for step in range(3):
        row_tokens = [np.concatenate([x, x[:, :3]], axis=1)[b, n + step] for b, n in enumerate(lengths)]
        outputs, cache = layer(np.stack(row_tokens)[:, None], cache=cache)
        expected = np.stack([whole[b, n + step] for b, n in enumerate(lengths)])
        np.testing.assert_allclose(outputs[:, 0], expected, rtol=0, atol=2e-6)


def test_projections_of_one_shape_start_unequal():
    layer = CausalSelfAttention(2)
    layer.build([None, None, 8])
    assert np.abs(layer.query.kernel - layer.key.kernel).max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "Received: num_heads=0"),
        ({"num_heads": 4, "num_key_value_heads": 0}, "Received: num_key_value_heads=0"),
        ({"num_heads": 4, "num_key_value_heads": 3}, "Received: num_heads=4, num_key_value_heads=3"),
        ({"num_heads": 4, "window": 0}, "Received: window=0"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        CausalSelfAttention(**arguments)


def test_heads_must_divide_the_features():
    with pytest.raises(ValueError, match=r"multiple of `num_heads`=3. Received: inputs.shape=\(2, 5, 8\)"):
        CausalSelfAttention(3)(normal(2, 5, 8))


def test_heads_must_be_of_even_size():
    with pytest.raises(ValueError, match=r"even multiple of `num_heads`=2.* Received: inputs.shape=\(None, None, 6\)"):
        CausalSelfAttention(2).build((None, None, 6))


def test_a_layer_without_weights_has_no_cache():
    with pytest.raises(ValueError, match=r"`empty_cache` needs a built layer.* Received: layer 'mine', not built"):
        CausalSelfAttention(2, name="mine").empty_cache(1, 5)

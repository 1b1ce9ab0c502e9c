import math

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import RelativePositionBias
from ikelos.layers.testing import check_layer

QUERIES = np.array([[0, 1, 2], [5, 400, 401]], "int32")
KEYS = np.array([[0, 1, 2, 3], [400, 3, 5, 300]], "int32")


def test_keeps_a_layers_promises():
    check_layer(
        RelativePositionBias,
        {
            "num_heads": 3,
            "num_buckets": 6,
            "max_distance": 100,
            "bidirectional": False,
            "embeddings_initializer": "glorot_normal",
        },
        QUERIES,
        call_kwargs={"key_positions": KEYS},
    )


def bucket(ahead, num_buckets, max_distance, bidirectional):
    """Returns the bucket of a key `ahead` positions after its query, as in the paper's code, for one pair."""
    first = 0
    if bidirectional:
        num_buckets //= 2
        first = num_buckets if ahead > 0 else 0
        away = abs(ahead)
    else:
        away = max(-ahead, 0)
    exact = num_buckets // 2
    if away < exact:
        return first + away
    share = math.log(away / exact) / math.log(max_distance / exact)
    # A bound is a bound, though its logarithm be rounded.
    return first + min(exact + math.floor(share * (num_buckets - exact) + 1e-9), num_buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (32, 4096), (4, 3), (10, 20), (16, 9), (64, 100)])
def test_buckets_are_those_of_the_rule(num_buckets, max_distance, bidirectional):
    keys = np.arange(-5000, 5001, 1 if max_distance < 200 else 7)
    layer = RelativePositionBias(1, num_buckets, max_distance, bidirectional)
    expected = [bucket(int(key), num_buckets, max_distance, bidirectional) for key in keys]
    np.testing.assert_array_equal(layer.buckets([0], keys)[0, 0], expected)
    assert set(expected) <= set(range(num_buckets))


def test_buckets_of_the_defaults_by_hand():
    # 16 buckets a direction, 8 of them of one distance. The others end at 8 * 16 ** (k / 8), that is 8, 11.3, 16, 22.6,
    # 32, 45.3, 64, 90.5.
    first = {0: 0, 1: 1, 7: 7, 8: 8, 11: 8, 12: 9, 15: 9, 16: 10, 22: 10, 23: 11, 31: 11, 32: 12, 45: 12, 46: 13}
    first |= {63: 13, 64: 14, 90: 14, 91: 15, 127: 15, 128: 15, 10**6: 15}
    layer = RelativePositionBias(1)
    behind = layer.buckets([0], [-away for away in first])[0, 0]
    np.testing.assert_array_equal(behind, list(first.values()))
    ahead = layer.buckets([0], [away for away in first if away])[0, 0]
    np.testing.assert_array_equal(ahead, [number + 16 for away, number in first.items() if away])


def test_buckets_of_a_decoder_by_hand():
    # 16 of one distance, 16 that end at 16 * 8 ** (k / 16).
    layer = RelativePositionBias(1, bidirectional=False)
    behind = {0: 0, 15: 15, 16: 16, 18: 16, 19: 17, 45: 23, 46: 24, 112: 30, 113: 31, 128: 31, 4000: 31}
    np.testing.assert_array_equal(layer.buckets([0], [-away for away in behind])[0, 0], list(behind.values()))
    assert not layer.buckets([0], [0, 1, 2, 50]).numpy().any()


def test_bias_is_the_number_of_the_bucket():
    layer = RelativePositionBias(2, num_buckets=8, max_distance=20)
    bias = layer(QUERIES, KEYS).numpy()
    assert bias.shape == (2, 2, 3, 4)
    numbers = layer.embeddings.numpy()
    assert numbers.shape == (8, 2)
    for row, head, t, s in np.ndindex(*bias.shape):
        ahead = int(KEYS[row, s]) - int(QUERIES[row, t])
        assert bias[row, head, t, s] == numbers[bucket(ahead, 8, 20, True), head]
    np.testing.assert_array_equal(layer(QUERIES[1], KEYS[1]), bias[1:])
    np.testing.assert_array_equal(layer(QUERIES, KEYS[1])[1], bias[1])


def test_bias_depends_on_the_distance_alone():
    layer = RelativePositionBias(2)
    near = layer(np.arange(70), np.arange(50))
    np.testing.assert_array_equal(layer(np.arange(70) + 1000, np.arange(50) + 1000), near)
    # Along each diagonal one number, and before and behind not the same.
    np.testing.assert_array_equal(near[:, :, 1:, 1:], near[:, :, :-1, :-1])
    assert np.abs(near[0, :, 3, 0] - near[0, :, 0, 3]).min() > 0


@pytest.mark.parametrize("implementation", ["native", "reference"])
def test_learns_through_attention(implementation):
    query, key, value = (tf.random.stateless_normal([2, 9, 4, 8], [seed, 0]) for seed in range(3))
    layer = RelativePositionBias(4, num_buckets=8, max_distance=6)
    with tf.GradientTape() as tape:
        bias = layer(np.arange(9), np.arange(9))
        outputs = kernels.attention(query, key, value, bias, implementation=implementation)
        loss = tf.reduce_sum(outputs * tf.sin(outputs))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.embeddings.value)).numpy()
    # Distance 0 is in the first half: the first bucket of the second half is never used.
    assert (np.abs(gradient).min(axis=1) > 0).tolist() == [number != 4 for number in range(8)]
    step = 1e-2

    def moved(by):
        table = layer.embeddings.numpy()
        table[6, 1] += by
        again = RelativePositionBias.from_config(layer.get_config())
        again.build((9,), (9,))
        again.embeddings.assign(table)
        bias = again(np.arange(9), np.arange(9))
        outputs = kernels.attention(query, key, value, bias, implementation=implementation)
        return float(tf.reduce_sum(outputs * tf.sin(outputs)))

    # A float32 sum of some hundreds over 2 steps, and the third derivative.
    assert gradient[6, 1] == pytest.approx((moved(step) - moved(-step)) / (2 * step), abs=5e-3)


def test_gradient_under_half_precision_counts_every_pair():
    layer = RelativePositionBias(1, num_buckets=2, max_distance=2, bidirectional=False, dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(np.arange(60), np.arange(60)), tf.float32))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.embeddings.value))
    # Pairs behind, and all others. In bfloat16, 256 + 1 is 256.
    np.testing.assert_array_equal(gradient, [[60 * 61 / 2], [60 * 59 / 2]])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_heads": 0}, "num_heads=0"),
        ({"num_heads": 1, "num_buckets": 1, "bidirectional": False}, "num_buckets=1, bidirectional=False"),
        ({"num_heads": 1, "num_buckets": 2}, "num_buckets=2, bidirectional=True"),
        ({"num_heads": 1, "num_buckets": 7}, "num_buckets=7"),
        ({"num_heads": 1, "max_distance": 8}, "larger than the 8 distances .* max_distance=8"),
        ({"num_heads": 1, "max_distance": 16, "bidirectional": False}, "larger than the 16"),
    ],
)
def test_names_a_bad_argument(arguments, says):
    with pytest.raises(ValueError, match=says):
        RelativePositionBias(**arguments)


def test_positions_must_be_integers():
    with pytest.raises(ValueError, match=r"`query_positions` must be integers"):
        RelativePositionBias(1)(np.array([0.0]), np.array([0]))

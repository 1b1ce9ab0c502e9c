"""The native op checks an input as soon as it is known; the message names the input and the contradiction."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels.dispatch import library

GOOD = {
    "query": np.ones([2, 3, 4, 5], "float32"),
    "key": np.ones([2, 3, 2, 5], "float32"),
    "value": np.ones([2, 3, 2, 7], "float32"),
    "key_cache": np.ones([2, 6, 2, 5], "float32"),
    "value_cache": np.ones([2, 6, 2, 7], "float32"),
    "cache_lengths": np.array([3, 0], "int32"),
    "query_seq_lengths": [np.array([3, 0], "int32")],
    "cache_rows": [np.array([[0, 1] * 3, [1] * 6], "int32")],
    "alibi_slopes": [np.ones([4], "float32")],
}
ATTRIBUTES = {"scale": 0.5}
BAD_SHAPES = [
    ("query", (2, 3, 4), r"`query` must have shape \[B, T, N, H\].*query.shape=\[2,3,4\]"),
    ("query", (2, 3, 4, 0), r"`query` must have a last axis of 1 to 256 .*\[2,3,4,0\]"),
    ("key", (2, 2, 2, 5), r"`key` must .*T = 3 as in `query`.*key.shape=\[2,2,2,5\], query.shape=\[2,3,4,5\]"),
    ("key", (2, 3, 3, 5), r"`value` must .*K = 3 as in `key`"),
    ("value", (1, 3, 2, 7), r"`value` must .*B = 2 as in `query`.*value.shape=\[1,3,2,7\]"),
    ("key_cache", (2, 6, 2, 4), r"`key_cache` must .*H = 5 as in `query`.*key_cache.shape=\[2,6,2,4\]"),
    ("value_cache", (2, 5, 2, 7), r"`value_cache` must .*S = 6 as in `key_cache`.*value_cache.shape=\[2,5,2,7\]"),
    ("value_cache", (2, 6, 2, 6), r"`value_cache` must .*E = 7 as in `value`.*\[2,6,2,6\]"),
    ("cache_lengths", (3,), r"`cache_lengths` must .*B = 2.*\[3\]"),
    ("query_seq_lengths", (), r"`query_seq_lengths` must have shape \[B\].*\[\]"),
    ("cache_rows", (2, 5), r"`cache_rows` must .*S = 6.*\[2,5\]"),
    ("alibi_slopes", (2,), r"`alibi_slopes` must .*N = 4.*\[2\]"),
]


def with_shape(name, shape):
    x = GOOD[name]
    return GOOD | {name: [np.ones(shape, x[0].dtype)] if isinstance(x, list) else np.ones(shape, x.dtype)}


def refused(message):
    return pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message)


@pytest.mark.pairwise
@pytest.mark.parametrize(("name", "shape", "message"), BAD_SHAPES, ids=[str(case[:2]) for case in BAD_SHAPES])
def test_shapes(name, shape, message, call):
    with refused(message):
        call(library().ikelos_cached_attention, with_shape(name, shape), ATTRIBUTES)


@pytest.mark.pairwise
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("query_seq_lengths", [3, 4], r"`query_seq_lengths` must .*T = 3.*query_seq_lengths\[1\]=4"),
        ("query_seq_lengths", [-1, 3], r"query_seq_lengths\[0\]=-1"),
        ("cache_lengths", [0, -1], r"`cache_lengths` must be at least 0, .*cache_lengths\[1\]=-1"),
        ("cache_lengths", [2**31 - 3, 0], r"and below 2\^31 with the new tokens. .*cache_lengths\[0\]=2147483645"),
        (
            "cache_lengths",
            [4, 0],
            r"room for the new tokens, S = 7 .*key_cache.shape=\[2,6,2,5\], cache_lengths\[0\]=4",
        ),
        ("cache_rows", [[0] * 6, [0] * 5 + [2]], r"`cache_rows` must be within 0 and B - 1 = 1. .*cache_rows\[1,5\]=2"),
        ("cache_rows", [[-1] * 6, [0] * 6], r"cache_rows\[0,0\]=-1"),
    ],
)
def test_values(name, values, message, call):
    values = np.array(values, "int32")
    inputs = GOOD | {name: [values] if isinstance(GOOD[name], list) else values}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(library().ikelos_cached_attention, inputs, ATTRIBUTES)


@pytest.mark.parametrize("call", ["eager", "traced"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": float("nan")}, "`scale` must be finite.*nan"),
        ({"window_left": -2}, "`window_left` must be at least -1.*window_left=-2"),
    ],
)
def test_attributes(changes, message, call):
    with refused(message):
        call(library().ikelos_cached_attention, GOOD, ATTRIBUTES | changes)


@pytest.mark.parametrize("name", [name for name, x in GOOD.items() if isinstance(x, list)])
@pytest.mark.parametrize("call", ["eager"], indirect=True)
def test_two_of_a_kind(name, call):
    with refused(f"`num_{name}` must be 0 or 1.*num_{name}=2"):
        call(library().ikelos_cached_attention, GOOD | {name: GOOD[name] * 2}, ATTRIBUTES)


def test_what_fits_is_taken_whenever_it_is_known(call):
    *results, rows = call(library().ikelos_cached_attention, GOOD, ATTRIBUTES)
    assert [x.shape.as_list() for x in [*results, *rows]] == [[2, 3, 4, 7], [2, 6, 2, 5], [2, 6, 2, 7], [2, 6]]
    np.testing.assert_array_equal(rows[0], [[0, 1, 0, 0, 0, 0], [1] * 6])

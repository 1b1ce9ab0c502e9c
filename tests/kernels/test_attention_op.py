"""The native ops check an input as soon as it is known; the message names the input and the contradiction."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels.dispatch import library

GOOD = {
    "query": np.ones([2, 3, 4, 5], "float32"),
    "key": np.ones([2, 6, 2, 5], "float32"),
    "value": np.ones([2, 6, 2, 7], "float32"),
    "bias": [np.ones([1, 4, 1, 6], "float32")],
    "mask": [np.ones([2, 1, 3, 1], bool)],
    "query_seq_lengths": [np.array([3, 0], "int32")],
    "key_value_seq_lengths": [np.array([6, 1], "int32")],
    "query_offset": [np.array([-2, 3], "int32")],
    "alibi_slopes": [np.ones([4], "float32")],
    "dropout_seed": [np.array([1, 2], "int32")],
}
OF_GRADIENT = {
    "output": np.ones([2, 3, 4, 7], "float32"),
    "residual": np.zeros([2, 3, 4], "float32"),
    "output_grad": np.ones([2, 3, 4, 7], "float32"),
    "residual_grad": np.ones([2, 3, 4], "float32"),
}
ATTRIBUTES = {"scale": 0.5, "dropout_rate": 0.5}
BAD_SHAPES = [
    ("query", (2, 3, 4), r"`query` must have shape \[B, T, N, H\].*query.shape=\[2,3,4\]"),
    ("query", (2, 3, 4, 0), r"`query` must have a last axis of 1 to 256 .*\[2,3,4,0\]"),
    ("value", (2, 6, 2, 257), r"`value` must have a last axis of 1 to 256 .*\[2,6,2,257\]"),
    ("key", (1, 6, 2, 5), r"`key` must .*B = 2 as in `query`.*key.shape=\[1,6,2,5\], query.shape=\[2,3,4,5\]"),
    ("value", (2, 5, 2, 7), r"`value` must .*S = 6 as in `key`.*value.shape=\[2,5,2,7\], key"),
    ("bias", (1, 4, 1, 5), r"`bias` must have shape \[B or 1, N or 1, T or 1, S or 1\], where S = 6.*\[1,4,1,5\]"),
    ("mask", (2, 1, 1, 3, 1), r"`mask` must have shape .*\[2,1,1,3,1\]"),
    ("query_seq_lengths", (3,), r"`query_seq_lengths` must .*B = 2.*\[3\]"),
    ("query_offset", (), r"`query_offset` must have shape \[B\].*\[\]"),
    ("alibi_slopes", (2,), r"`alibi_slopes` must .*N = 4.*\[2\]"),
    ("dropout_seed", (3,), r"`dropout_seed` must have shape \[2\].*\[3\]"),
]
BAD_GRADIENT_SHAPES = [
    ("output", (2, 3, 4, 5), r"`output` must .*E = 7 as in `value`.*output.shape=\[2,3,4,5\]"),
    ("residual", (2, 3), r"`residual` must have shape \[B, T, N\].*\[2,3\]"),
    ("output_grad", (2, 2, 4, 7), r"`output_grad` must .*T = 3 as in `query`.*\[2,2,4,7\]"),
    ("residual_grad", (2, 3, 1), r"`residual_grad` must .*N = 4 as in `query`.*\[2,3,1\]"),
]


def with_shape(inputs, name, shape):
    x = inputs[name]
    return inputs | {name: [np.ones(shape, x[0].dtype)] if isinstance(x, list) else np.ones(shape, x.dtype)}


def refused(message):
    return pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message)


@pytest.mark.parametrize(("name", "shape", "message"), BAD_SHAPES, ids=[str(case[:2]) for case in BAD_SHAPES])
def test_shapes(name, shape, message, call):
    with refused(message):
        call(library().ikelos_attention, with_shape(GOOD, name, shape), ATTRIBUTES)


@pytest.mark.parametrize(
    ("name", "shape", "message"), BAD_GRADIENT_SHAPES, ids=[case[0] for case in BAD_GRADIENT_SHAPES]
)
def test_shapes_of_the_gradient(name, shape, message, call):
    with refused(message):
        call(library().ikelos_attention_grad, with_shape(GOOD | OF_GRADIENT, name, shape), ATTRIBUTES)


@pytest.mark.pairwise
@pytest.mark.parametrize("of_gradient", [False, True])
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("query_seq_lengths", [3, 4], r"`query_seq_lengths` must .*T = 3.*query_seq_lengths\[1\]=4"),
        ("query_seq_lengths", [-1, 3], r"query_seq_lengths\[0\]=-1"),
        ("key_value_seq_lengths", [2**31 - 1, 0], r"`key_value_seq_lengths` must .*S = 6.*\[0\]=2147483647"),
        ("key_value_seq_lengths", [0, -(2**31)], r"key_value_seq_lengths\[1\]=-2147483648"),
    ],
)
def test_lengths(name, values, message, of_gradient, call):
    op = library().ikelos_attention_grad if of_gradient else library().ikelos_attention
    inputs = (GOOD | OF_GRADIENT if of_gradient else GOOD) | {name: [np.array(values, "int32")]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(op, inputs, ATTRIBUTES)


@pytest.mark.parametrize("call", ["eager", "traced"], indirect=True)
@pytest.mark.parametrize("of_gradient", [False, True])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": float("nan")}, "`scale` must be finite.*nan"),
        ({"scale": float("-inf")}, "`scale` must be finite.*inf"),
        ({"window_left": -2}, "`window_left` must be at least -1.*window_left=-2"),
        ({"window_right": -(2**63)}, "`window_right` must be at least -1.*-9223372036854775808"),
        ({"dropout_rate": 1.0}, "`dropout_rate` must be at least 0 and below 1.*dropout_rate=1"),
        ({"dropout_rate": -0.5}, "dropout_rate=-0.5"),
        ({"dropout_rate": float("nan")}, "dropout_rate=nan"),
        (
            {"dropout_rate": 0.0},
            "`num_dropout_seed` must be 1 if `dropout_rate` is above 0, and else 0.*dropout_rate=0",
        ),
    ],
)
def test_attributes(changes, message, of_gradient, call):
    op = library().ikelos_attention_grad if of_gradient else library().ikelos_attention
    with refused(message):
        call(op, GOOD | OF_GRADIENT if of_gradient else GOOD, ATTRIBUTES | changes)


@pytest.mark.parametrize("name", [name for name, x in GOOD.items() if isinstance(x, list)])
@pytest.mark.parametrize("call", ["eager"], indirect=True)
def test_two_of_a_kind(name, call):
    with refused(f"`num_{name}` must be 0 or 1.*num_{name}=2"):
        call(library().ikelos_attention, GOOD | {name: GOOD[name] * 2}, ATTRIBUTES)


def test_what_fits_is_taken_whenever_it_is_known(call):
    results = call(library().ikelos_attention, GOOD, ATTRIBUTES)
    assert [x.shape.as_list() for x in results] == [[2, 3, 4, 7], [2, 3, 4]]
    *results, bias_grad = call(library().ikelos_attention_grad, GOOD | OF_GRADIENT, ATTRIBUTES)
    shapes = [np.shape(x) for x in (GOOD["query"], GOOD["key"], GOOD["value"], GOOD["bias"][0])]
    assert [tuple(x.shape) for x in [*results, *bias_grad]] == shapes

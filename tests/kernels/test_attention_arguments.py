"""Errors name the faulty argument, before anything runs."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels

F32 = "float32"


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": np.ones([2, 3, 4], F32)}, r"`query` must have shape .*size\]. Received: query.shape=\(2, 3, 4\)"),
        (
            {"query": np.ones([2, 3, 2, 4], int)},
            r"`query` must be of a floating type, .*query.dtype=int64",
        ),
        ({"key": np.ones([2, 3, 2, 4], "float64")}, "Received: key.dtype=float64, query.dtype=float32"),
        (
            {"value": np.ones([2, 4, 2, 4], F32)},
            r"the same batch size, length and .*Received: key.shape=\(2, 3, 2, 4\)",
        ),
        ({"value": np.ones([2, 3, 1, 4], F32)}, r"Received: .*, value.shape=\(2, 3, 1, 4\)"),
        ({"query": np.ones([2, 3, 3, 4], F32)}, r"a multiple .* Received: query.shape=\(2, 3, 3, 4\)"),
        ({x: np.ones([2, 3, 0, 4], F32) for x in ("key", "value")}, r"a multiple .*key.shape=\(2, 3, 0, 4\)"),
        ({"query": np.ones([2, 3, 4, 5], F32)}, r"the same head size. Received: query.shape=\(2, 3, 4, 5\)"),
        ({x: np.ones([2, 3, 2, 0], F32) for x in ("query", "key")}, r"at least 1.*query.shape=\(2, 3, 2, 0\)"),
        ({"query": np.ones([3, 3, 2, 4], F32)}, r"`query` and `key` must have the same batch size"),
        ({"query": np.ones([1, 3, 2, 4], F32)}, r"Received: query.shape=\(1, 3, 2, 4\), key.shape=\(2, 3, 2, 4\)"),
        ({"bias": np.ones([2, 1, 3, 4])}, r"broadcastable to \[2, 2, 3, 3\], .* Received: bias.shape=\(2, 1, 3, 4\)"),
        ({"bias": np.ones([1, 1, 1, 1, 3])}, r"Received: bias.shape=\(1, 1, 1, 1, 3\)"),
        ({"bias": np.ones([3, 3], int)}, "`bias` must be of a floating type, one of .* Received: bias.dtype=int64"),
        ({"mask": np.ones([5, 3], bool)}, r"Received: mask.shape=\(5, 3\)"),
        ({"mask": np.ones([3, 3], F32)}, "`mask` must be boolean. Received: mask.dtype=float32"),
        ({"scale": float("nan")}, "`scale` must be a number that is finite in float32. Received: scale=nan"),
        ({"scale": "1"}, "`scale` must be a number that is finite in float32. Received: scale=1"),
        ({"scale": 1e39}, r"`scale` must be a number that is finite in float32. Received: scale=1e\+39"),
        ({"scale": True}, "Received: scale=True"),
        ({"query_seq_lengths": 3}, r"here \[2\]. Received: query_seq_lengths.shape=\(\)"),
        ({"query_seq_lengths": [1, 4]}, r"`query_seq_lengths` must be within 0 and 3. Received: .*\[1, 4\]"),
        ({"query_seq_lengths": np.array([1, 2**32 + 1])}, "`query_seq_lengths` must be within 0 and 3"),
        ({"key_value_seq_lengths": tf.constant([-1, 2])}, r"`key_value_seq_lengths` must be within 0 and 3.*\[-1, 2\]"),
        ({"key_value_seq_lengths": [3, 3, 3]}, r"Received: key_value_seq_lengths.shape=\(3,\)"),
        ({"key_value_seq_lengths": [3.0, 3.0]}, "Received: key_value_seq_lengths.dtype=float32"),
        ({"query_offset": [[1], [2]]}, r"a scalar or of shape .* Received: query_offset.shape=\(2, 1\)"),
        ({"query_offset": [1, 2, 3]}, r"Received: query_offset.shape=\(3,\)"),
        ({"query_offset": 0.5}, "`query_offset` must hold integers. Received: query_offset.dtype=float32"),
        ({"query_offset": 2**31}, "within -2147483648 and 2147483647. Received: query_offset=2147483648"),
        ({"query_offset": 2**70}, "Received: query_offset=1180591620717411303424"),
        ({"query_offset": [0, -(2**31) - 1]}, r"Received: query_offset=\[0, -2147483649\]"),
        ({"query_offset": tf.constant(2**31)}, "Received: query_offset=2147483648"),
        ({"query_offset": np.array([1, 2**63], "uint64")}, r"Received: query_offset=\[1, 9223372036854775808\]"),
        ({"query_offset": False}, "Received: query_offset.dtype=bool"),
        ({"local_window_size": True}, "Received: local_window_size=True"),
        ({"local_window_size": (-1, 0)}, r"Received: local_window_size=\(-1, 0\)"),
        ({"local_window_size": (1, 2.5)}, r"Received: local_window_size=\(1, 2.5\)"),
        ({"local_window_size": (1, 2, 3)}, r"Received: local_window_size=\(1, 2, 3\)"),
        ({"alibi_slopes": [0.5]}, r"must have shape \[2\], a slope for each head. Received: alibi_slopes.shape=\(1,\)"),
        ({"alibi_slopes": [1, 2]}, "`alibi_slopes` must be of a floating type, .*: alibi_slopes.dtype=int32"),
        ({"dropout_rate": 1.0, "dropout_seed": [1, 2]}, "at least 0 and below 1. Received: dropout_rate=1.0"),
        # As a float32 it is 1.
        ({"dropout_rate": 1 - 1e-12, "dropout_seed": [1, 2]}, "Received: dropout_rate=1.0"),
        ({"dropout_rate": -0.5, "dropout_seed": [1, 2]}, "Received: dropout_rate=-0.5"),
        (
            {"dropout_rate": 0.5},
            "`dropout_seed` must be given if `dropout_rate` is above 0. Received: dropout_seed=None, dropout_rate=0.5",
        ),
        ({"dropout_rate": 0.5, "dropout_seed": 1}, r"Received: dropout_seed.shape=\(\)"),
        ({"dropout_rate": 0.5, "dropout_seed": [0.0, 1.0]}, "Received: dropout_seed.dtype=float32"),
        ({"implementation": "fast"}, "implementation='fast'"),
    ],
)
def test_errors_name_the_argument(changes, message, implementation):
    arguments = {name: np.ones([2, 3, 2, 4], F32) for name in ("query", "key", "value")}
    with pytest.raises(ValueError, match=message):
        kernels.attention(**{**arguments, "implementation": implementation, **changes})


def test_bias_and_mask_must_not_widen_an_axis_of_one():
    query = np.ones([1, 1, 1, 4], F32)
    with pytest.raises(ValueError, match=r"Received: bias.shape=\(3, 1, 1, 1\)"):
        kernels.attention(query, query, query, bias=np.ones([3, 1, 1, 1]))


def test_heads_must_be_known_when_traced():
    @tf.function(input_signature=[tf.TensorSpec([2, 3, None, 4])])
    def attend(x):
        return kernels.attention(x, x, x)

    with pytest.raises(ValueError, match=r"that are known at trace time.*query.shape=\(2, 3, None, 4\)"):
        attend.get_concrete_function()


def test_the_reference_takes_lengths_out_of_range_for_the_nearest_bound_inside_graphs():
    x = tf.random.stateless_normal([2, 3, 2, 4], [1, 2])

    @tf.function(input_signature=[tf.TensorSpec([2], tf.int32)] * 2)
    def attend(queries, keys):
        lengths = {"query_seq_lengths": queries, "key_value_seq_lengths": keys}
        return kernels.attention(x, x, x, **lengths, implementation="reference")

    np.testing.assert_array_equal(attend([-1, 9], [7, 2]), attend([0, 3], [3, 2]))


def test_the_scale_of_float64_is_one():
    x = np.ones([1, 1, 1, 1]) * 1e-30
    _, residual = kernels.attention(x, x, x, scale=1e50, return_residual=True)
    np.testing.assert_allclose(residual, [[[1e-10]]], rtol=1e-12)


def test_offsets_known_when_traced_are_checked_and_others_are_clipped():
    x = tf.random.stateless_normal([2, 3, 2, 4], [1, 2])
    signature = [tf.TensorSpec([2], tf.int64)]
    attend = tf.function(lambda offset: kernels.attention(x, x, x, is_causal=True, query_offset=offset), signature)
    np.testing.assert_array_equal(attend([2**40, -(2**40)]), attend([2**31 - 1, -(2**31)]))
    known = tf.function(lambda: kernels.attention(x, x, x, query_offset=np.array([0, 2**40])))
    with pytest.raises(ValueError, match=r"Received: query_offset=\[0, 1099511627776\]"):
        known.get_concrete_function()


@pytest.mark.parametrize("name", ["query_seq_lengths", "key_value_seq_lengths"])
def test_negative_lengths_where_the_highest_is_unknown(name):
    attend = tf.function(lambda x: kernels.attention(x, x, x, **{name: [-1]}))
    with pytest.raises(ValueError, match=rf"`{name}` must be at least 0. Received: {name}=\[-1\]"):
        attend.get_concrete_function(tf.TensorSpec([None, None, 2, 4]))


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(
    ("name", "shape", "dtype", "rank"),
    [
        ("key", [1, 3, 2, 4], "float32", 4),
        ("value", [1, 3, 2, 4], "float32", 4),
        ("value", [2, 1, 2, 4], "float32", 4),
        ("bias", [2, 2, 1, 4], "float32", 4),
        ("bias", [3, 1, 1, 1], "float32", 4),
        ("mask", [1, 3, 1, 1], "bool", 4),
        ("query_seq_lengths", [1], "int32", 1),
        ("key_value_seq_lengths", [1], "int32", 1),
        ("query_offset", [1], "int32", 1),
        ("alibi_slopes", [1], "float32", 1),
    ],
)
def test_what_is_unknown_when_traced_is_not_broadcast(name, shape, dtype, rank, implementation):
    x = tf.ones([2, 3, 2, 4])
    of_any_length = [None, None, 2, 4] if name in ("key", "value") else [None] * rank

    @tf.function(input_signature=[tf.TensorSpec([None, None, 2, 4]), tf.TensorSpec(of_any_length, dtype)])
    def attend(x, other):
        return kernels.attention(**{"query": x, "key": x, "value": x, name: other}, implementation=implementation)

    with pytest.raises(tf.errors.InvalidArgumentError, match=name):
        attend(x, tf.ones(shape, dtype) if dtype != "bool" else tf.ones(shape) > 0)


def test_the_native_kernel_never_reads_beyond_the_lengths():
    generator = np.random.default_rng(0)
    query, key, value = (generator.normal(size=[2, 70, 2, 16]).astype(F32) for _ in range(3))
    lengths = {"query_seq_lengths": [33, 70], "key_value_seq_lengths": [70, 33]}

    def run(query, key, value):
        inputs = [tf.constant(x) for x in (query, key, value)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = kernels.attention(*inputs, **lengths, implementation="native")
        return output, *tape.gradient(output, inputs)

    expected = run(query, key, value)
    query[0, 33:] = key[1, 33:] = value[1, 33:] = np.nan
    for ours, right in zip(run(query, key, value), expected, strict=True):
        np.testing.assert_array_equal(ours, right)


def test_the_native_op_refuses_lengths_out_of_range_inside_graphs():
    x = tf.ones([2, 3, 2, 4])
    attend = tf.function(lambda n: kernels.attention(x, x, x, key_value_seq_lengths=n, implementation="native"))
    message = r"`key_value_seq_lengths` must be within 0 and S = 3.*key_value_seq_lengths\[1\]=4"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        attend(tf.constant([2, 4]))

"""What is wrong with arguments is said by their names, before anything runs."""

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels

F32 = "float32"


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": np.ones([2, 3, 4], F32)}, r"`query` must have rank 4.*Received: query.shape=\(2, 3, 4\)"),
        ({"query": np.ones([2, 3, 2, 4], int)}, "`query` must be of a floating type.*query.dtype=int64"),
        ({"key": np.ones([2, 3, 2, 4], "float64")}, "Received: key.dtype=float64, query.dtype=float32"),
        ({"value": np.ones([2, 4, 2, 4], F32)}, r"one batch size, length and .*Received: key.shape=\(2, 3, 2, 4\)"),
        ({"value": np.ones([2, 3, 1, 4], F32)}, r"Received: .*, value.shape=\(2, 3, 1, 4\)"),
        ({"query": np.ones([2, 3, 3, 4], F32)}, r"a multiple .* Received: query.shape=\(2, 3, 3, 4\)"),
        ({x: np.ones([2, 3, 0, 4], F32) for x in ("key", "value")}, r"a multiple .*key.shape=\(2, 3, 0, 4\)"),
        ({"query": np.ones([2, 3, 4, 5], F32)}, r"one head size. Received: query.shape=\(2, 3, 4, 5\)"),
        ({x: np.ones([2, 3, 2, 0], F32) for x in ("query", "key")}, r"at least 1.*query.shape=\(2, 3, 2, 0\)"),
        ({"query": np.ones([3, 3, 2, 4], F32)}, r"`query` and `key` must have one batch size"),
        ({"query": np.ones([1, 3, 2, 4], F32)}, r"Received: query.shape=\(1, 3, 2, 4\), key.shape=\(2, 3, 2, 4\)"),
        ({"bias": np.ones([2, 1, 3, 4])}, r"here \[2, 2, 3, 3\]. Received: bias.shape=\(2, 1, 3, 4\)"),
        ({"bias": np.ones([1, 1, 1, 1, 3])}, r"Received: bias.shape=\(1, 1, 1, 1, 3\)"),
        ({"bias": np.ones([3, 3], int)}, "`bias` must be of a floating type. Received: bias.dtype=int64"),
        ({"mask": np.ones([5, 3], bool)}, r"Received: mask.shape=\(5, 3\)"),
        ({"mask": np.ones([3, 3], F32)}, "`mask` must be boolean. Received: mask.dtype=float32"),
        ({"scale": float("nan")}, "`scale` must be a finite number. Received: scale=nan"),
        ({"scale": "1"}, "`scale` must be a finite number. Received: scale=1"),
        ({"query_seq_lengths": 3}, r"here \[2\]. Received: query_seq_lengths.shape=\(\)"),
        ({"query_seq_lengths": [1, 4]}, r"`query_seq_lengths` must be within 0 and 3. Received: .*\[1, 4\]"),
        ({"query_seq_lengths": np.array([1, 2**32 + 1])}, "`query_seq_lengths` must be within 0 and 3"),
        ({"key_value_seq_lengths": tf.constant([-1, 2])}, r"`key_value_seq_lengths` must be within 0 and 3.*\[-1, 2\]"),
        ({"key_value_seq_lengths": [3, 3, 3]}, r"Received: key_value_seq_lengths.shape=\(3,\)"),
        ({"key_value_seq_lengths": [3.0, 3.0]}, "Received: key_value_seq_lengths.dtype=float32"),
        ({"query_offset": [[1], [2]]}, r"a scalar or of shape .* Received: query_offset.shape=\(2, 1\)"),
        ({"query_offset": [1, 2, 3]}, r"Received: query_offset.shape=\(3,\)"),
        ({"query_offset": 0.5}, "`query_offset` must hold integers. Received: query_offset.dtype=float32"),
        ({"query_offset": 2**31}, "`query_offset` must fit into int32. Received: query_offset=2147483648"),
        ({"local_window_size": (-1, 0)}, r"Received: local_window_size=\(-1, 0\)"),
        ({"local_window_size": (1, 2.5)}, r"Received: local_window_size=\(1, 2.5\)"),
        ({"local_window_size": (1, 2, 3)}, r"Received: local_window_size=\(1, 2, 3\)"),
        ({"alibi_slopes": [0.5]}, r"of shape \[heads\], here \[2\]. Received: alibi_slopes.shape=\(1,\)"),
        ({"alibi_slopes": [1, 2]}, "`alibi_slopes` must be of a floating type. Received: alibi_slopes.dtype=int32"),
        ({"dropout_rate": 1.0, "dropout_seed": [1, 2]}, "at least 0 and below 1. Received: dropout_rate=1.0"),
        # As a float32 it is 1.
        ({"dropout_rate": 1 - 1e-12, "dropout_seed": [1, 2]}, "Received: dropout_rate=1.0"),
        ({"dropout_rate": -0.5, "dropout_seed": [1, 2]}, "Received: dropout_rate=-0.5"),
        ({"dropout_rate": 0.5}, "`dropout_seed` must be given with a dropout rate. Received: dropout_rate=0.5"),
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

    with pytest.raises(ValueError, match=r"must be known when the graph is traced.*query.shape=\(2, 3, None, 4\)"):
        attend.get_concrete_function()


def test_the_reference_takes_lengths_out_of_range_for_the_nearest_bound_inside_graphs():
    x = tf.random.stateless_normal([2, 3, 2, 4], [1, 2])

    @tf.function(input_signature=[tf.TensorSpec([2], tf.int32)] * 2)
    def attend(queries, keys):
        lengths = {"query_seq_lengths": queries, "key_value_seq_lengths": keys}
        return kernels.attention(x, x, x, **lengths, implementation="reference")

    np.testing.assert_array_equal(attend([-1, 9], [7, 2]), attend([0, 3], [3, 2]))


def test_the_native_op_refuses_lengths_out_of_range_inside_graphs():
    x = tf.ones([2, 3, 2, 4])
    attend = tf.function(lambda n: kernels.attention(x, x, x, key_value_seq_lengths=n, implementation="native"))
    message = r"key_value_seq_lengths: expected lengths of 0 to S = 3.*key_value_seq_lengths\[1\] = 4"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        attend(tf.constant([2, 4]))

"""Errors name the faulty argument, before anything runs."""

import re

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels

F32 = "float32"


def ones(*shape, dtype=F32):
    return np.ones(shape, dtype)


def arguments(op_name):
    columns = 20 if op_name == "lstm" else 15
    return {
        "inputs": ones(2, 4, 3),
        "kernel": ones(3, columns),
        "recurrent_kernel": ones(5, columns),
        "bias": ones(20) if op_name == "lstm" else ones(2, 15),
        "initial_state": (ones(2, 5), ones(2, 5)) if op_name == "lstm" else ones(2, 5),
    }


def norm(op_name, **changes):
    columns = 20 if op_name == "lstm" else 15
    given = {"kernel_scale": ones(columns), "recurrent_scale": ones(columns)}
    given |= {"cell_scale": ones(5), "cell_offset": ones(5)} if op_name == "lstm" else {}
    return {"layer_norm": kernels.LayerNorm(**given | changes)}


OF_BOTH = [
    ({"inputs": ones(2, 3)}, "`inputs` must have rank 3, [batch, time, features]. Received: inputs.shape=(2, 3)"),
    (
        {"inputs": ones(2, 4, 3, dtype="int32")},
        "`inputs` must be of a floating type, one of float16, bfloat16, float32, float64. Received: inputs.dtype=int32",
    ),
    ({"kernel": None}, "`kernel` must be a tensor. Received: kernel=None"),
    ({"recurrent_kernel": ones(20)}, "a known number of rows, at least 1. Received: recurrent_kernel.shape=(20,)"),
    ({"recurrent_kernel": ones(0, 0)}, "at least 1. Received: recurrent_kernel.shape=(0, 0)"),
    ({"mask": ones(2, 4)}, "`mask` must be boolean or hold integers. Received: mask.dtype=float32"),
    ({"mask": ones(2, 3) > 0}, "`mask` must have shape [2, 4]. Received: mask.shape=(2, 3)"),
    ({"sequence_lengths": [1, 5]}, "`sequence_lengths` must be within 0 and 4. Received: sequence_lengths=[1, 5]"),
    ({"sequence_lengths": [-1, 4]}, "Received: sequence_lengths=[-1, 4]"),
    ({"sequence_lengths": [4]}, "of shape [batch], here [2]. Received: sequence_lengths.shape=(1,)"),
    (
        {"sequence_lengths": [4.0, 4.0]},
        "`sequence_lengths` must hold integers. Received: sequence_lengths.dtype=float32",
    ),
    ({"recurrent_dropout_mask": ones(2, 4)}, "must have shape [2, 5]. Received: recurrent_dropout_mask.shape=(2, 4)"),
    ({"recurrent_dropout_mask": ones(2, 2, 5)}, "Received: recurrent_dropout_mask.shape=(2, 2, 5)"),
    ({"recurrent_dropout_mask": ones(2, 5) > 0}, "Received: recurrent_dropout_mask.dtype=bool, inputs.dtype=float32"),
    ({"layer_norm": True}, "`layer_norm` must be an ikelos.kernels.LayerNorm. Received: layer_norm=True"),
    ({"implementation": "fast"}, "implementation='fast'"),
]
OF_ONE = [
    ("lstm", {"kernel": ones(4, 20)}, "`kernel` must have shape [3, 20]. Received: kernel.shape=(4, 20)"),
    ("lstm", {"kernel": ones(3, 15)}, "`kernel` must have shape [3, 20]. Received: kernel.shape=(3, 15)"),
    (
        "lstm",
        {"kernel": ones(3, 20, dtype="float64")},
        "`kernel` must have the dtype of `inputs`. Received: kernel.dtype=float64, inputs.dtype=float32",
    ),
    ("lstm", {"recurrent_kernel": ones(5, 15)}, "`recurrent_kernel` must have shape [5, 20]"),
    ("lstm", {"bias": ones(2, 20)}, "`bias` must have shape [20]. Received: bias.shape=(2, 20)"),
    ("lstm", {"bias": ones(20, dtype="float64")}, "Received: bias.dtype=float64, inputs.dtype=float32"),
    ("lstm", {"initial_state": ones(2, 5)}, "`initial_state` must be a pair, hidden and cell state. Received: "),
    ("lstm", {"initial_state": [ones(2, 5)] * 3}, "`initial_state` must be a pair"),
    ("lstm", {"initial_state": (ones(2, 5), None)}, "`initial_state[1]` must be a tensor. Received: "),
    ("lstm", {"initial_state": (ones(2, 5), ones(3, 5))}, "Received: initial_state[1].shape=(3, 5)"),
    ("lstm", {"initial_state": (ones(2, 5, dtype="float64"),) * 2}, "Received: initial_state[0].dtype=float64"),
    ("lstm", {"recurrent_dropout_mask": ones(2, 3, 5)}, "must have shape [2, 4, 5]"),
    ("lstm", norm("lstm", kernel_scale=ones(5)), "`layer_norm.kernel_scale` must have shape [20]"),
    (
        "lstm",
        norm("lstm", cell_offset=None),
        "`layer_norm.cell_offset` must be a tensor. Received: layer_norm.cell_offset=None",
    ),
    (
        "lstm",
        norm("lstm", recurrent_scale=ones(20, dtype="float64")),
        "Received: layer_norm.recurrent_scale.dtype=float64",
    ),
    ("lstm", norm("lstm", epsilon=-1.0), "`layer_norm.epsilon` must be at least 0. Received: layer_norm.epsilon=-1.0"),
    ("lstm", norm("lstm", epsilon=float("nan")), "`layer_norm.epsilon` must be a number that is finite in float32"),
    ("gru", {"kernel": ones(3, 20)}, "`kernel` must have shape [3, 15]. Received: kernel.shape=(3, 20)"),
    ("gru", {"bias": ones(15)}, "`bias` must have shape [2, 15]. Received: bias.shape=(15,)"),
    ("gru", {"reset_after": False}, "`bias` must have shape [15]. Received: bias.shape=(2, 15)"),
    (
        "gru",
        {"initial_state": ones(3, 5)},
        "`initial_state` must have shape [2, 5]. Received: initial_state.shape=(3, 5)",
    ),
    ("gru", {"recurrent_dropout_mask": ones(2, 4, 5)}, "must have shape [2, 3, 5]"),
    ("gru", norm("gru", cell_scale=ones(5)), "`layer_norm.cell_scale` must be None for GRU. Received: "),
    ("gru", norm("gru") | {"reset_after": False, "bias": None}, "`reset_after` must be True with `layer_norm`"),
]
CASES = [(op_name, *case) for op_name in ("lstm", "gru") for case in OF_BOTH] + OF_ONE


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize(("op_name", "changes", "message"), CASES)
def test_errors_name_the_argument(op_name, changes, message, implementation):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(kernels, op_name)(**{**arguments(op_name), "implementation": implementation, **changes})


def test_units_must_be_known_when_traced():
    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def run(recurrent_kernel):
        return kernels.lstm(**arguments("lstm") | {"recurrent_kernel": recurrent_kernel})

    with pytest.raises(ValueError, match=re.escape("a known number of rows, at least 1. Received: ")):
        run.get_concrete_function()


def test_the_reference_takes_lengths_out_of_range_for_the_nearest_bound_inside_graphs():
    @tf.function(input_signature=[tf.TensorSpec([2], tf.int32)])
    def run(lengths):
        return kernels.lstm(**arguments("lstm"), sequence_lengths=lengths, implementation="reference")[0]

    np.testing.assert_array_equal(run([-1, 9]), run([0, 4]))


def test_the_native_op_refuses_lengths_out_of_range_inside_graphs():
    run = tf.function(lambda n: kernels.gru(**arguments("gru"), sequence_lengths=n, implementation="native"))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"`sequence_lengths` must .*T = 4.*sequence_lengths\[1\]=5"
    ):
        run(tf.constant([2, 5]))


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize("op_name", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("kernel", [1, None], "float32"),
        ("initial_state", [1, 5], "float32"),
        ("sequence_lengths", [1], "int32"),
        ("mask", [1, 4], "bool"),
        ("mask", [2, 1], "bool"),
        ("recurrent_dropout_mask", [1, None, 5], "float32"),
    ],
)
def test_what_is_unknown_when_traced_is_not_broadcast(op_name, name, shape, dtype, implementation):
    given, columns = arguments(op_name), 20 if op_name == "lstm" else 15
    shape = [{"kernel": columns}.get(name, columns // 5) if size is None else size for size in shape]

    @tf.function(input_signature=[tf.TensorSpec([None] * 3), tf.TensorSpec([None] * len(shape), dtype)])
    def run(inputs, other):
        changed = (other, other) if name == "initial_state" and op_name == "lstm" else other
        changes = {"inputs": inputs, name: changed, "implementation": implementation}
        return getattr(kernels, op_name)(**given | changes)

    # The native op's names are of its own inputs.
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="initial_(state|hidden)" if name == "initial_state" else name
    ):
        run(given["inputs"], tf.cast(tf.ones(shape), dtype))

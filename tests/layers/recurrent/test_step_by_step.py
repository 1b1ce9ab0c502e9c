"""`FusedLSTMCell` and `FusedGRUCell`: alone, in `keras.layers.RNN`, and beside the layers of whole sequences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import FusedGRU, FusedGRUCell, FusedLSTM, FusedLSTMCell
from ikelos.layers.testing import check_config

CELLS = {
    "lstm": (keras.layers.LSTMCell, FusedLSTMCell, FusedLSTM),
    "gru": (keras.layers.GRUCell, FusedGRUCell, FusedGRU),
}
OWN_ARGUMENTS = {"lstm": {"unit_forget_bias": False}, "gru": {"reset_after": False}}

# Constructors' arguments, and whether the op runs steps outside training.
CONFIGURATIONS = {
    "plain": ({}, True),
    "no bias": ({"use_bias": False}, True),
    "own argument": (None, True),
    "dropout": ({"dropout": 0.4, "seed": 5}, True),
    "recurrent dropout": ({"recurrent_dropout": 0.4, "seed": 5}, True),
    "bfloat16": ({"dtype": "mixed_bfloat16"}, True),
    "float64": ({"dtype": "float64"}, False),
    "relu": ({"activation": "relu"}, False),
    "hard sigmoid": ({"recurrent_activation": "hard_sigmoid"}, False),
}


@pytest.fixture(params=["lstm", "gru"])
def op_name(request):
    return request.param


@pytest.fixture
def op_calls(op_name, monkeypatch):
    """Returns a list with one entry for each call of the op."""
    calls, op = [], getattr(kernels, op_name)
    monkeypatch.setattr(kernels, op_name, lambda **arguments: calls.append(arguments) or op(**arguments))
    return calls


def pair(op_name, arguments, features=5):
    """Returns a stock cell and ours with equal weights."""
    stock, fused = (cell_class(6, **arguments) for cell_class in CELLS[op_name][:2])
    for cell in (stock, fused):
        cell.build((3, features))
    fused.set_weights(stock.get_weights())
    return stock, fused


def steps(cell, inputs, training, states=None):
    states = cell.get_initial_state(batch_size=len(inputs)) if states is None else states
    for t in range(inputs.shape[1]):
        output, states = cell(inputs[:, t], states, training=training)
    return [output, *tf.nest.flatten(states)]


def assert_close(actual, expected, dtype=None):
    # In bfloat16 the stock cells round to 8 bits within a step.
    tolerance = 2.0**-5 if dtype == "mixed_bfloat16" else 1e-5
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(tf.cast(a, tf.float64), tf.cast(b, tf.float64), rtol=0, atol=tolerance)


@pytest.mark.pairwise
@pytest.mark.parametrize(("arguments", "by_op"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("training", [False, True])
def test_steps_equal_the_stock_cells(op_name, arguments, by_op, training, op_calls, inputs):
    arguments = OWN_ARGUMENTS[op_name] if arguments is None else arguments
    stock, fused = pair(op_name, arguments)
    assert_close(steps(fused, inputs, training), steps(stock, inputs, training), arguments.get("dtype"))
    assert len(op_calls) == (inputs.shape[1] if by_op and not training else 0)
    op_calls.clear()
    with kernels.use("reference"):
        assert_close(steps(fused, inputs, False), steps(stock, inputs, False), arguments.get("dtype"))
    assert not op_calls


def test_gradients_equal_the_stock_cells(op_name, op_calls, inputs):
    gradients = []
    for cell in pair(op_name, {}):
        x = tf.constant(inputs)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = sum(tf.reduce_sum(tf.sin(y)) for y in steps(cell, x, training=False))
        gradients.append(tape.gradient(loss, [x, *(weight.value for weight in cell.trainable_weights)]))
    assert op_calls
    assert_close(*gradients)


@pytest.mark.parametrize("arguments", [{}, {"return_sequences": True, "return_state": True, "go_backwards": True}])
def test_within_rnn(op_name, arguments, op_calls, inputs, mask):
    stock, fused = pair(op_name, {"dropout": 0.3, "recurrent_dropout": 0.3, "seed": 1})
    layers = [keras.layers.RNN(cell, **arguments) for cell in (stock, fused)]
    for call in ({}, {"mask": mask}, {"training": True}):
        expected, actual = (tf.nest.flatten(layer(inputs, **call)) for layer in layers)
        assert_close(actual, expected)
    assert op_calls


def test_stacked(op_name, inputs, tmp_path):
    """The cells of a stack are a list, whose entries a weight file names by their classes."""
    stock, fused = (
        keras.Sequential([keras.Input(inputs.shape[1:]), keras.layers.RNN([cell_class(4), cell_class(6)])])
        for cell_class in CELLS[op_name][:2]
    )
    stock.save_weights(tmp_path / "stack.weights.h5")
    fused.load_weights(tmp_path / "stack.weights.h5")
    assert_close([fused(inputs)], [stock(inputs)])


def test_goes_on_from_a_sequence(op_name, inputs):
    _, cell_class, layer_class = CELLS[op_name]
    layer = layer_class(6, return_state=True)
    whole = layer(inputs)
    cell = cell_class.from_config(layer.cell.get_config())
    cell.build(inputs[:, 0].shape)
    cell.set_weights(layer.get_weights())
    _, *states = layer(inputs[:, :4])
    assert_close(steps(cell, inputs[:, 4:], training=False, states=states), whole)


def test_a_state_outside_a_list(inputs):
    stock, fused = pair("gru", {})
    state = tf.ones([3, 6])
    for cell in (stock, fused):
        _, after = cell(inputs[:, 0], state)
        assert tf.is_tensor(after)
    assert_close(fused(inputs[:, 0], state), stock(inputs[:, 0], state))


def test_one_state_for_all_rows(op_name, op_calls, inputs):
    stock, fused = pair(op_name, {})
    states = [np.full([1, 6], 0.3, "float32")] * len(tf.nest.flatten(stock.state_size))
    outputs = [tf.nest.flatten(cell(inputs[:, 0], states)) for cell in (fused, stock)]
    assert op_calls
    assert_close(*outputs)


def test_config(op_name):
    stock, fused, _ = CELLS[op_name]
    arguments = {
        "units": 4,
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
        "use_bias": False,
        **{f"{name}_initializer": "he_normal" for name in ("kernel", "recurrent", "bias")},
        **{f"{name}_regularizer": "l1" for name in ("kernel", "recurrent", "bias")},
        **{f"{name}_constraint": "non_neg" for name in ("kernel", "recurrent", "bias")},
        "dropout": 0.1,
        "recurrent_dropout": 0.1,
        "seed": 3,
        **OWN_ARGUMENTS[op_name],
    }
    check_config(fused, arguments)
    assert fused.from_config(fused(4, implementation=1).get_config()).implementation == 1
    config = stock(**arguments, name="cell").get_config()
    assert fused.from_config(config).get_config() == config | {"implementation": 1}
    assert stock.from_config(fused.from_config(config).get_config()).get_config() == config

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import FusedLSTM
from ikelos.layers.testing import check_config, check_layer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


INPUTS = normal(3, 9, 5)
MASK = np.random.default_rng(1).random([3, 9]) < 0.6
# A row that begins with masked steps, and one without any valid step.
MASK[0, :2] = False
MASK[1] = False


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    """Which GPUs there are said to be: none, so that the op is tested on every machine."""
    found = []
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: found if kind == "GPU" else [])
    return found


# Constructors' arguments, and whether the op runs them; otherwise the stock layer's own code does.
CONFIGURATIONS = {
    "plain": ({}, True),
    "sequences": ({"return_sequences": True}, True),
    "state": ({"return_state": True}, True),
    "sequences and state": ({"return_sequences": True, "return_state": True}, True),
    "backwards": ({"return_sequences": True, "return_state": True, "go_backwards": True}, True),
    "no bias": ({"use_bias": False}, True),
    "no forget bias": ({"unit_forget_bias": False, "bias_initializer": "ones"}, True),
    "stateful": ({"stateful": True, "return_sequences": True}, True),
    "dropout": ({"dropout": 0.4, "seed": 5, "return_sequences": True}, True),
    "use_cudnn=False": ({"use_cudnn": False}, True),
    "recurrent dropout": ({"recurrent_dropout": 0.4, "seed": 5, "return_sequences": True}, False),
    "relu": ({"activation": "relu"}, False),
    "hard sigmoid": ({"recurrent_activation": "hard_sigmoid"}, False),
    "unrolled": ({"unroll": True, "return_sequences": True}, False),
    "zero outputs": ({"zero_output_for_mask": True, "return_sequences": True}, False),
    "implementation 1": ({"implementation": 1}, True),
}


def pair(**arguments):
    """A stock layer and ours, with equal weights."""
    stock, fused = keras.layers.LSTM(6, **arguments), FusedLSTM(6, **arguments)
    for layer in (stock, fused):
        layer.build(INPUTS.shape)
    weights = [normal(*weight.shape, seed=i) / 2 for i, weight in enumerate(stock.trainable_variables)]
    for layer in (stock, fused):
        for variable, weight in zip(layer.trainable_variables, weights, strict=True):
            variable.assign(weight)
    return stock, fused


def results_and_gradients(layer, **call_arguments):
    inputs = tf.constant(INPUTS)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        results = tf.nest.flatten(layer(inputs, **call_arguments))
        loss = sum(tf.reduce_sum(tf.sin(x)) for x in results)
    return results + tape.gradient(loss, [inputs, *[weight.value for weight in layer.trainable_variables]])


def assert_close(actual, expected, tolerance=1e-5):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("arguments", "fused"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_equals_the_stock_layer(arguments, fused, mask, monkeypatch):
    calls = []
    op = kernels.lstm
    monkeypatch.setattr(kernels, "lstm", lambda *a, **k: calls.append(a) or op(*a, **k))
    state = [normal(3, 6, seed=8), normal(3, 6, seed=9)]
    for call_arguments in ({}, {"training": True}, {} if "stateful" in arguments else {"initial_state": state}):
        stock, layer = pair(**arguments)
        expected = results_and_gradients(stock, mask=mask, **call_arguments)
        calls.clear()
        assert_close(results_and_gradients(layer, mask=mask, **call_arguments), expected)
        # Recurrent dropout is for training alone.
        assert bool(calls) == (fused or ("recurrent_dropout" in arguments and not call_arguments.get("training")))


def test_a_stateful_layer_goes_on_where_it_was():
    stock, fused = pair(stateful=True)
    for _ in range(3):
        assert_close([fused(INPUTS)], [stock(INPUTS)])
    fused.reset_state()
    stock.reset_state()
    assert_close([fused(INPUTS)], [stock(INPUTS)])


@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_within_bidirectional(merge_mode, return_sequences):
    stock, fused = (
        keras.layers.Bidirectional(layer_class(4, return_sequences=return_sequences), merge_mode=merge_mode)
        for layer_class in (keras.layers.LSTM, FusedLSTM)
    )
    for layer in (stock, fused):
        layer.build(INPUTS.shape)
    fused.set_weights(stock.get_weights())
    assert isinstance(fused.backward_layer, FusedLSTM)
    assert_close([fused(INPUTS, mask=MASK)], [stock(INPUTS, mask=MASK)])


def test_within_time_distributed():
    stock, fused = pair()
    inputs = normal(3, 2, 9, 5, seed=4)
    assert_close([keras.layers.TimeDistributed(fused)(inputs)], [keras.layers.TimeDistributed(stock)(inputs)])


def test_takes_the_mask_of_an_embedding():
    tokens = np.array([[3, 1, 0, 0], [2, 2, 2, 1], [0, 0, 0, 0]])
    embedding = keras.layers.Embedding(5, 5, mask_zero=True)
    stock, fused = pair()
    assert_close([fused(embedding(tokens))], [stock(embedding(tokens))])


@pytest.mark.parametrize("classes", [(keras.layers.LSTM, FusedLSTM), (FusedLSTM, keras.layers.LSTM)])
def test_config_and_weights_carry_over(classes):
    source_class, target_class = classes
    source = source_class(6, return_sequences=True, go_backwards=True, bias_initializer="glorot_normal")
    expected = source(INPUTS)
    target = target_class.from_config(source.get_config())
    target.build(INPUTS.shape)
    target.set_weights(source.get_weights())
    assert type(target) is target_class
    assert_close([target(INPUTS)], [expected])


def test_cudnn_stays_an_error_where_there_is_none():
    with pytest.raises(ValueError, match="use_cudnn=True"):
        FusedLSTM(6, use_cudnn=True)(INPUTS)


ARGUMENTS = {
    "units": 4,
    "activation": "relu",
    "recurrent_activation": "hard_sigmoid",
    "use_bias": False,
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_normal",
    "bias_initializer": "ones",
    "unit_forget_bias": False,
    "kernel_regularizer": "l1",
    "recurrent_regularizer": "l1",
    "bias_regularizer": "l1",
    "activity_regularizer": "l1",
    "kernel_constraint": "non_neg",
    "recurrent_constraint": "non_neg",
    "bias_constraint": "non_neg",
    "dropout": 0.1,
    "recurrent_dropout": 0.1,
    "seed": 3,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "unroll": True,
    "use_cudnn": False,
}


def test_keeps_a_layers_promises():
    given = {"units": 4, "return_sequences": True, "return_state": True, "use_bias": True}
    rest = {name: value for name, value in ARGUMENTS.items() if name not in given}
    check_layer(FusedLSTM, given, INPUTS, config_kwargs=rest | {"use_bias": False})
    check_config(FusedLSTM, ARGUMENTS)


@pytest.mark.parametrize(
    ("arguments", "mask", "expected"),
    [({}, None, "stock"), ({"use_cudnn": False}, None, "op"), ({}, MASK, "op")],
    ids=["auto", "use_cudnn=False", "masked"],
)
def test_leaves_the_sequence_to_cudnn_where_there_is_a_gpu(arguments, mask, expected, gpus, monkeypatch):
    gpus.append("GPU:0")
    layer, taken = FusedLSTM(6, **arguments), []
    op, stock = kernels.lstm, keras.layers.LSTM.inner_loop
    monkeypatch.setattr(kernels, "lstm", lambda *a, **k: taken.append("op") or op(*a, **k))
    monkeypatch.setattr(
        # Without a GPU cuDNN cannot run: the loop gives the same.
        keras.layers.LSTM,
        "inner_loop",
        lambda self, *a, **k: taken.append("stock") or stock(self, *a, **k),
    )
    layer(INPUTS[:1], mask=None if mask is None else mask[:1])
    assert set(taken) == {expected}
    taken.clear()
    # As an export does, which must run without a GPU too.
    with kernels.use("reference"):
        layer(INPUTS[:1])
    assert set(taken) == {"op"}


def test_takes_a_mask_of_floats_as_the_stock_layer_does():
    stock, fused = pair()
    assert_close([fused(INPUTS, mask=MASK.astype("float32"))], [stock(INPUTS, mask=MASK)])

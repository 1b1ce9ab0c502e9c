import keras
import pytest

from ikelos.layers import FusedLSTM
from ikelos.layers.testing import check_config, check_layer


@pytest.fixture
def lstm(twins):
    return twins(keras.layers.LSTM, FusedLSTM, "lstm", 2)


# Constructors' arguments, and what runs them.
CONFIGURATIONS = {
    "plain": ({}, "op"),
    "sequences": ({"return_sequences": True}, "op"),
    "state": ({"return_state": True}, "op"),
    "sequences and state": ({"return_sequences": True, "return_state": True}, "op"),
    "backwards": ({"return_sequences": True, "return_state": True, "go_backwards": True}, "op"),
    "no bias": ({"use_bias": False}, "op"),
    "no forget bias": ({"unit_forget_bias": False, "bias_initializer": "ones"}, "op"),
    "stateful": ({"stateful": True, "return_sequences": True}, "op"),
    "dropout": ({"dropout": 0.4, "seed": 5, "return_sequences": True}, "op"),
    "recurrent dropout": ({"recurrent_dropout": 0.4, "seed": 5, "return_sequences": True}, "op"),
    "both dropouts": ({"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 5}, "op, stock in training"),
    "dropout of all": ({"dropout": 1.0}, "op"),
    "zero outputs": ({"zero_output_for_mask": True, "return_sequences": True}, "op"),
    "last of zero outputs": ({"zero_output_for_mask": True, "return_state": True, "go_backwards": True}, "op"),
    "implementation 1": ({"implementation": 1}, "op"),
    # With use_cudnn="auto" the stock layer raises an error there: it takes the gates' masks for one.
    "implementation 1 with dropout": (
        {"implementation": 1, "dropout": 0.4, "seed": 5, "use_cudnn": False},
        "op, stock in training",
    ),
    "use_cudnn=False": ({"use_cudnn": False}, "op"),
    "relu": ({"activation": "relu"}, "stock"),
    "hard sigmoid": ({"recurrent_activation": "hard_sigmoid"}, "stock"),
    "unrolled": ({"unroll": True, "return_sequences": True}, "stock"),
}


@pytest.mark.parametrize(("arguments", "runs"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_stock_layer(arguments, runs, masked, lstm, mask):
    lstm.check_equal(arguments, mask if masked else None, runs)


def test_a_stateful_layer_goes_on_where_it_was(lstm):
    lstm.check_stateful()


@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_within_bidirectional(return_sequences, merge_mode, lstm):
    lstm.check_bidirectional(return_sequences, merge_mode)


def test_within_time_distributed(lstm):
    lstm.check_time_distributed()


def test_takes_the_mask_of_an_embedding(lstm):
    lstm.check_mask_of_an_embedding()


def test_takes_a_mask_of_floats_as_the_stock_layer_does(lstm):
    lstm.check_mask_of_floats()


def test_config_and_weights_carry_over(lstm):
    lstm.check_config_and_weights_carry_over()


def test_leaves_the_sequence_to_cudnn_where_there_is_a_gpu(lstm, gpus):
    lstm.check_leaves_the_sequence_to_cudnn_where_there_is_a_gpu(gpus)


def test_cudnn_stays_an_error_where_there_is_none(lstm):
    lstm.check_cudnn_is_an_error_where_there_is_none()


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


def test_keeps_a_layers_promises(inputs):
    given = {"units": 4, "return_sequences": True, "return_state": True, "use_bias": True}
    rest = {name: value for name, value in ARGUMENTS.items() if name not in given}
    check_layer(FusedLSTM, given, inputs, config_kwargs=rest | {"use_bias": False})
    check_config(FusedLSTM, ARGUMENTS)

"""Recurrent layers of ours beside the stock layers they stand in for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import FusedGRU, FusedLSTM

CLASSES = {"lstm": (keras.layers.LSTM, FusedLSTM), "gru": (keras.layers.GRU, FusedGRU)}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


INPUTS = normal(3, 6, 5)
MASK = np.random.default_rng(1).random([3, 6]) < 0.6
# A row that begins with masked steps, and one without any valid step.
MASK[0, :2] = False
MASK[1] = False


@pytest.fixture
def inputs():
    return INPUTS


@pytest.fixture
def mask():
    return MASK


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    """Returns the list of GPUs that TensorFlow reports: empty, so that the op is tested on every machine."""
    found = []
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: found if kind == "GPU" else [])
    return found


@pytest.fixture
def twins(monkeypatch):
    """Returns `twins(op_name)`, which returns a `Twins`."""
    return lambda op_name: Twins(monkeypatch, op_name)


class Twins:
    """A stock layer's class and ours, compared."""

    def __init__(self, monkeypatch, op_name):
        self.op_name, self.classes = op_name, CLASSES[op_name]
        self.calls = []  # of the op, by their arguments, and "stock" of the stock layer's code
        stock = self.classes[0]
        op, inner_loop = getattr(kernels, op_name), stock.inner_loop

        def watched_op(**arguments):
            self.calls.append(arguments)
            return op(**arguments)

        def watched_inner_loop(layer, *arguments, **more):
            self.calls.append("stock")
            return inner_loop(layer, *arguments, **more)

        monkeypatch.setattr(kernels, op_name, watched_op)
        monkeypatch.setattr(stock, "inner_loop", watched_inner_loop)

    def pair(self, **arguments):
        """Returns a stock layer and ours with equal weights."""
        layers = [layer_class(6, **arguments) for layer_class in self.classes]
        for layer in layers:
            layer.build(INPUTS.shape)
        weights = [normal(*weight.shape, seed=i) / 2 for i, weight in enumerate(layers[0].trainable_variables)]
        for layer in layers:
            for variable, weight in zip(layer.trainable_variables, weights, strict=True):
                variable.assign(weight)
        return layers

    def check_equal(self, arguments, mask, runs):
        """Checks that both layers give equal results and that ours `runs` "op", "stock" or "op, stock in training"."""
        state = [normal(3, 6, seed=8 + i) for i in range(2 if self.op_name == "lstm" else 1)]
        for call_arguments in ({}, {"training": True}, {} if "stateful" in arguments else {"initial_state": state}):
            stock, fused = self.pair(**arguments)
            expected = results_and_gradients(stock, mask=mask, **call_arguments)
            self.calls.clear()
            actual = results_and_gradients(fused, mask=mask, **call_arguments)
            for a, b in zip(actual, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
            training = "training" in call_arguments
            by_stock = runs == "stock" or (training and runs == "op, stock in training")
            assert [x == "stock" for x in self.calls] == [by_stock]
            if not by_stock:
                assert self.calls[0]["save_for_gradient"] == training


def results_and_gradients(layer, **call_arguments):
    inputs = tf.constant(INPUTS)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        results = tf.nest.flatten(layer(inputs, **call_arguments))
        loss = sum(tf.reduce_sum(tf.sin(x)) for x in results)
    return results + tape.gradient(loss, [inputs, *[weight.value for weight in layer.trainable_variables]])

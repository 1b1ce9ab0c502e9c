"""What every recurrent layer of ours owes the stock layer it stands in for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels


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
    """Which GPUs there are said to be: none, so that the op is tested on every machine."""
    found = []
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: found if kind == "GPU" else [])
    return found


@pytest.fixture
def twins(monkeypatch):
    """`twins(stock class, our class, name of the op, number of states)`, a `Twins`."""
    return lambda *arguments: Twins(monkeypatch, *arguments)


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


class Twins:
    """A stock layer's class and ours, compared."""

    def __init__(self, monkeypatch, stock, fused, op_name, num_states):
        self.classes, self.op_name = (stock, fused), op_name
        self.state = [normal(3, 6, seed=8 + i) for i in range(num_states)]
        self.calls = []  # of the op, by their arguments, and "stock" of the stock layer's own code
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
        """A stock layer and ours, with equal weights."""
        layers = [layer_class(6, **arguments) for layer_class in self.classes]
        for layer in layers:
            layer.build(INPUTS.shape)
        weights = [normal(*weight.shape, seed=i) / 2 for i, weight in enumerate(layers[0].trainable_variables)]
        for layer in layers:
            for variable, weight in zip(layer.trainable_variables, weights, strict=True):
                variable.assign(weight)
        return layers

    def check_equal(self, arguments, mask, runs):
        """`runs` is "op" or "stock", what our layer is to run; or "op, stock in training"."""
        for call_arguments in (
            {},
            {"training": True},
            {} if "stateful" in arguments else {"initial_state": self.state},
        ):
            stock, fused = self.pair(**arguments)
            expected = results_and_gradients(stock, mask=mask, **call_arguments)
            self.calls.clear()
            assert_close(results_and_gradients(fused, mask=mask, **call_arguments), expected)
            training = "training" in call_arguments
            by_stock = runs == "stock" or (training and runs == "op, stock in training")
            assert [x == "stock" for x in self.calls] == [by_stock]
            if not by_stock:
                assert self.calls[0]["save_for_gradient"] == training

    def check_stateful(self):
        stock, fused = self.pair(stateful=True)
        for _ in range(3):
            assert_close([fused(INPUTS)], [stock(INPUTS)])
        fused.reset_state()
        stock.reset_state()
        assert_close([fused(INPUTS)], [stock(INPUTS)])

    def check_bidirectional(self, return_sequences, merge_mode):
        stock, fused = (
            keras.layers.Bidirectional(layer_class(4, return_sequences=return_sequences), merge_mode=merge_mode)
            for layer_class in self.classes
        )
        for layer in (stock, fused):
            layer.build(INPUTS.shape)
        fused.set_weights(stock.get_weights())
        assert isinstance(fused.backward_layer, self.classes[1])
        assert_close([fused(INPUTS, mask=MASK)], [stock(INPUTS, mask=MASK)])

    def check_time_distributed(self):
        stock, fused = self.pair()
        inputs = normal(3, 2, 6, 5, seed=4)
        assert_close([keras.layers.TimeDistributed(fused)(inputs)], [keras.layers.TimeDistributed(stock)(inputs)])

    def check_mask_of_an_embedding(self):
        tokens = np.array([[3, 1, 0, 0], [2, 2, 2, 1], [0, 0, 0, 0]])
        embedding = keras.layers.Embedding(5, 5, mask_zero=True)
        stock, fused = self.pair()
        assert_close([fused(embedding(tokens))], [stock(embedding(tokens))])

    def check_mask_of_floats(self):
        stock, fused = self.pair()
        assert_close([fused(INPUTS, mask=MASK.astype("float32"))], [stock(INPUTS, mask=MASK)])

    def check_config_and_weights_carry_over(self, **arguments):
        for source_class, target_class in (self.classes, self.classes[::-1]):
            source = source_class(6, return_sequences=True, go_backwards=True, bias_initializer="ones", **arguments)
            expected = source(INPUTS)
            target = target_class.from_config(source.get_config())
            target.build(INPUTS.shape)
            target.set_weights(source.get_weights())
            assert type(target) is target_class
            assert_close([target(INPUTS)], [expected])

    def check_cudnn_is_an_error_where_there_is_none(self):
        with pytest.raises(ValueError, match="use_cudnn=True"):
            self.classes[1](6, use_cudnn=True)(INPUTS)

    def check_leaves_the_sequence_to_cudnn_where_there_is_a_gpu(self, gpus):
        """And the op has no native kernel there."""
        gpus.append("GPU:0")
        for arguments, mask, by_stock in (({}, None, True), ({"use_cudnn": False}, None, False), ({}, MASK, False)):
            layer = self.classes[1](6, **arguments)
            self.calls.clear()
            # Without a GPU cuDNN cannot run: the loop gives the same.
            layer(INPUTS[:1], mask=None if mask is None else mask[:1])
            assert [x == "stock" for x in self.calls] == [by_stock]
            self.calls.clear()
            # As an export does, which must run without a GPU too.
            with kernels.use("reference"):
                layer(INPUTS[:1])
            assert "stock" not in self.calls

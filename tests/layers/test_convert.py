import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels, layers
from ikelos.layers import FusedGRU, FusedLSTM, FusedMultiHeadAttention, convert
from ikelos.layers.convert import FUSED, TWINS

INPUTS = np.random.default_rng(0).normal(size=[4, 6, 3]).astype("float32")
TARGETS = np.random.default_rng(1).normal(size=[4, 2]).astype("float32")
# A constructor's arguments for each of the classes.
ARGUMENTS = {
    "FusedGRU": {"units": 3},
    "FusedGroupedQueryAttention": {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1, "dropout": 0.1},
    "FusedLSTM": {"units": 3},
    "FusedMultiHeadAttention": {"num_heads": 2, "key_dim": 2, "dropout": 0.1},
    "FusedRMSNormalization": {},
}


class Mixed(keras.layers.Layer):
    """A layer of a user's, with layers in attributes and in a list."""

    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(2, 2)
        self.recurrent = [keras.layers.GRU(3, return_sequences=True), keras.layers.RMSNormalization()]

    def call(self, x):
        x = self.attention(x, x, use_causal_mask=True)
        for layer in self.recurrent:
            x = layer(x)
        return x


class Subclassed(keras.Model):
    """A model that knows its layers only when it is built."""

    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(2)

    def build(self, shape):
        self.recurrent = keras.layers.LSTM(4)
        self.recurrent.build(shape)
        self.head.build((shape[0], 4))

    def call(self, x):
        return self.head(self.recurrent(x))


def sequential():
    return keras.Sequential(
        [
            keras.Input((None, 3)),
            keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)),
            keras.layers.GRU(4),
            keras.layers.Dense(2),
        ]
    )


def functional():
    inputs = keras.Input((6, 3))
    shared = keras.layers.LSTM(3, return_sequences=True)
    x = Mixed()(shared(shared(inputs)))
    x = keras.layers.GroupQueryAttention(2, 2, 1)(x, x)
    inner = keras.Sequential([keras.Input((2, 3)), keras.layers.GRU(2)])
    x = keras.layers.TimeDistributed(inner)(keras.layers.Reshape((3, 2, 3))(x))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))


def subclassed():
    model = Subclassed()
    model.build(INPUTS.shape)
    return model


each_model = pytest.mark.parametrize("make", [sequential, functional, subclassed])


def classes(model, table):
    """Returns the names of the classes in a table that a model's layers have, with repetitions."""
    return sorted(type(layer).__qualname__ for layer in model._flatten_layers() if type(layer) in TWINS[table])


def count_ops(model, inputs):
    """Returns the number of native ops in a graph of the model."""
    graph = tf.function(model).get_concrete_function(tf.TensorSpec(inputs.shape, inputs.dtype)).graph
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    return sum(node.op.startswith("Ikelos") for node in nodes)


@each_model
def test_there_and_back_with_the_same_results(make):
    model = make()
    outputs, stock = model(INPUTS), classes(model, "fused")
    assert stock
    assert count_ops(model, INPUTS) == 0
    assert convert(model) is model
    assert classes(model, "fused") == []
    assert classes(model, "stock") == sorted(
        fused.__qualname__ for fused in FUSED for name in stock if name == fused.__bases__[0].__qualname__
    )
    assert count_ops(model, INPUTS) > 0
    np.testing.assert_allclose(model(INPUTS), outputs, rtol=0, atol=1e-5)
    convert(model, "fused")
    convert(model, to="stock")
    assert (classes(model, "stock"), classes(model, "fused")) == ([], stock)
    assert count_ops(model, INPUTS) == 0
    np.testing.assert_array_equal(model(INPUTS), outputs)


def test_training_goes_on():
    """The optimizer keeps its state."""
    converted, other = sequential(), sequential()
    other.set_weights(converted.get_weights())
    results = []
    for model in (converted, other):
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"], run_eagerly=True)
        model.fit(INPUTS, TARGETS, epochs=2, verbose=0)
        if model is converted:
            convert(converted)
        history = model.fit(INPUTS, TARGETS, epochs=2, verbose=0).history
        results.append([history["loss"], history["mae"], *model.get_weights()])
    assert converted.optimizer.iterations == 4
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_traces_each_of_a_models_functions_anew(monkeypatch):
    model = subclassed()
    model.compile("sgd", "mse", jit_compile=False)
    functions = [
        lambda: model.predict(INPUTS, verbose=0),
        lambda: model.evaluate(INPUTS, TARGETS, verbose=0),
        lambda: model.fit(INPUTS, TARGETS, verbose=0),
    ]
    for function in functions:
        function()
    convert(model)
    calls, op = [], kernels.lstm
    monkeypatch.setattr(kernels, "lstm", lambda **arguments: calls.append("lstm") or op(**arguments))
    for function in functions:
        calls.clear()
        function()
        assert calls


def test_layers_stay_the_same_objects():
    model = functional()
    layers_before, weights_before = model._flatten_layers(), [id(weight) for weight in model.weights]
    paths = [weight.path for weight in model.weights]
    convert(model)
    assert all(a is b for a, b in zip(model._flatten_layers(), layers_before, strict=True))
    assert [id(weight) for weight in model.weights] == weights_before
    assert [weight.path for weight in model.weights] == paths


def test_a_converted_model_is_saved_as_such(tmp_path):
    model = convert(sequential())
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "fused.weights.h5")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.layers[0].backward_layer, FusedLSTM)
    assert isinstance(again.layers[1], FusedGRU)
    assert isinstance(keras.models.clone_model(model).layers[1], FusedGRU)
    stock = sequential()
    stock.load_weights(tmp_path / "fused.weights.h5")
    for converted_or_not in (again, stock):
        np.testing.assert_allclose(converted_or_not(INPUTS), model(INPUTS), rtol=0, atol=1e-5)


def test_the_config_names_the_fused_layers_at_every_depth():
    model = sequential()
    assert "ikelos>" not in model.to_json()
    assert set(re.findall(r"ikelos>\w+", convert(model).to_json())) == {"ikelos>FusedLSTM", "ikelos>FusedGRU"}


def test_a_file_loads_without_ikelos_only_after_conversion_to_stock(tmp_path):
    model = convert(sequential())
    for to in ("fused", "stock"):
        convert(model, to=to).save(tmp_path / f"{to}.keras")
    np.savez(tmp_path / "expected.npz", inputs=INPUTS, outputs=model(INPUTS))
    script = """
import keras, numpy as np
model, expected = keras.models.load_model("stock.keras"), np.load("expected.npz")
np.testing.assert_allclose(model(expected["inputs"]), expected["outputs"], rtol=0, atol=1e-5)
print("loaded")
keras.models.load_model("fused.keras")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout == "loaded\n", done.stderr
    assert done.returncode != 0
    assert "could not be deserialized properly" in done.stderr


def test_a_layer_alone():
    layer = keras.layers.MultiHeadAttention(2, 2)
    expected = layer(INPUTS, INPUTS)
    assert type(convert(layer)) is FusedMultiHeadAttention
    np.testing.assert_allclose(layer(INPUTS, INPUTS), expected, rtol=0, atol=1e-5)


def test_leaves_subclasses_and_cells_alone():
    class Own(keras.layers.LSTM):
        pass

    model = keras.Sequential([Own(3, return_sequences=True), keras.layers.RNN(keras.layers.LSTMCell(3)), sequential()])
    convert(model)
    assert type(model.layers[0]) is Own
    assert type(model.layers[1].cell) is keras.layers.LSTMCell
    # A recurrent layer's own is a part of it.
    assert type(model.layers[2].layers[1].cell) is keras.layers.GRUCell


def test_what_an_object_overrides_stays():
    class Doubled(keras.layers.LSTMCell):
        def call(self, inputs, states, training=False):
            return super().call(2 * inputs, states, training=training)

    attention, recurrent = keras.layers.MultiHeadAttention(2, 2), keras.layers.LSTM(3)
    attention._compute_attention = lambda query, *rest, **more: (2 * query, None)
    recurrent.cell = Doubled(3)
    inputs = keras.Input((6, 3))
    model = keras.Model(inputs, recurrent(attention(inputs, inputs)))
    before = model(INPUTS)
    convert(model)
    assert (type(attention), type(recurrent)) == (FusedMultiHeadAttention, FusedLSTM)
    np.testing.assert_array_equal(model(INPUTS), before)


@pytest.mark.parametrize("fused", FUSED, ids=[fused.__qualname__ for fused in FUSED])
def test_twins_differ_in_methods_alone(fused):
    """Else an object could not change from one class to the other."""
    stock, arguments = fused.__bases__[0], ARGUMENTS[fused.__qualname__]
    assert vars(fused(**arguments)).keys() == vars(stock(**arguments)).keys()
    made_once = ("__init__", "build", "quantize")  # Keras wraps these for each object as it is made.
    assert not [name for name in made_once if getattr(fused, name) is not getattr(stock, name)]


def test_knows_every_drop_in():
    """But for cells, which are not faster."""
    public = [getattr(layers, name) for name in layers.__all__ if name.startswith("Fused") and "Cell" not in name]
    assert set(FUSED) == set(public)


def test_errors():
    with pytest.raises(ValueError, match=r"`to` must be 'fused' or 'stock'.*Received: to='native'"):
        convert(sequential(), to="native")
    with pytest.raises(TypeError, match=r"`model` must be a model or layer of Keras 3.*Received: model='model.keras'"):
        convert("model.keras")
    for model in (keras.Sequential([keras.layers.Dense(2)]), Subclassed()):  # The second is not built.
        with pytest.raises(ValueError, match=r"`model` must have a layer of the classes GRU, .*Received: model=<"):
            convert(model)

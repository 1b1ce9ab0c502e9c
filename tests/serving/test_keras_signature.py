import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import layers
from ikelos.serving import CheckFailed, StockModel, export, keras_signature
from ikelos.serving.values import DTYPES


class Sum(keras.Model):
    """A subclassed model of two arguments."""

    def __init__(self):
        super().__init__()
        self.dense, self.embedding = keras.layers.Dense(3), keras.layers.Embedding(9, 3)

    def call(self, x, ids, training=None):
        return {"sum": self.dense(x) + self.embedding(ids)}


class Single(keras.Model):
    """A subclassed model of one argument, a tensor or a dict of them."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, inputs, training=None):
        if isinstance(inputs, dict):
            return [self.dense(inputs["a"]), self.dense(inputs["b"])]
        return self.dense(inputs)


def recurrent():
    """Returns a language model of masked tokens with its state as inputs and outputs."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    state = [keras.Input((4,), name="hidden"), keras.Input((4,), name="cell")]
    embedded = keras.layers.Embedding(7, 4)(tokens)
    lstm = layers.FusedLSTM(4, return_state=True)
    last, *new = lstm(embedded, initial_state=state, mask=keras.ops.not_equal(tokens, 0))
    outputs = {"logits": keras.layers.Dense(7)(last), "new_hidden": new[0], "new_cell": new[1]}
    return keras.Model({"tokens": tokens, "hidden": state[0], "cell": state[1]}, outputs)


def sequential(*parts, **options):
    return keras.Sequential([keras.Input(**({"shape": (3,)} | options)), *parts])


def named(name, **options):
    """Returns a model with an input of a name."""
    return sequential(keras.layers.Dense(1), name=name, **options)


def described(model, **options):
    signature = keras_signature(model, **options)
    inputs = {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in signature.inputs.items()}
    arrays = {
        name: tf.constant(array, signature.inputs[name].dtype) for name, array in signature.example_arrays().items()
    }
    outputs = {name: tuple(tensor.shape) for name, tensor in signature(**arrays).items()}
    return inputs, outputs


def test_inputs_and_outputs_without_a_name():
    assert described(sequential(keras.layers.Dense(2))) == ({"inputs": ("float32", (None, 3))}, {"outputs": (2, 2)})


def test_names_are_those_of_the_model():
    found = described(sequential(keras.layers.Dense(2, name="scores"), name="pixels"))
    assert found == ({"pixels": ("float32", (None, 3))}, {"scores": (2, 2)})
    a, b = keras.Input((2,), name="a"), keras.Input((), dtype="string", name="b")
    hashed = keras.layers.Hashing(5)(b)
    model = keras.Model(
        [a, b], [keras.layers.Dense(1, name="left")(a), keras.layers.Embedding(5, 2, name="right")(hashed)]
    )
    expected = {"a": ("float32", (None, 2)), "b": ("string", (None,))}
    assert described(model) == (expected, {"left": (2, 1), "right": (2, 2)})


def test_a_subclassed_model_has_the_shapes_of_its_call():
    model = Single()
    model(np.zeros((5, 4), np.float32))
    assert described(model, example=np.ones((3, 4))) == ({"inputs": ("float32", (None, 4))}, {"outputs": (3, 2)})
    model = Single()
    model({"a": np.zeros((5, 4), np.float32), "b": np.zeros((5, 4), np.float32)})
    inputs, outputs = described(model, example={"a": np.ones((3, 4)), "b": np.ones((3, 4))})
    assert list(inputs) == ["a", "b"]
    assert outputs == {"output_0": (3, 2), "output_1": (3, 2)}


def test_a_subclassed_model_of_several_arguments_needs_an_example():
    model = Sum()
    model(np.zeros((2, 5), np.float32), np.zeros(2, np.int32))
    inputs, outputs = described(model, example={"x": np.ones((2, 5)), "ids": [3, 8]})
    assert inputs == {"x": ("float32", (None, 5)), "ids": ("int32", (None,))}
    assert outputs == {"sum": (2, 3)}
    with pytest.raises(ValueError, match=r"`example` must be a dict with a batch for each input, \['x', 'ids'\], of a"):
        keras_signature(model, example=np.ones((2, 5)))


@pytest.mark.parametrize(
    ("model", "example", "message"),
    [
        (Single, None, r"`model` must be functional, Sequential with a keras.Input, .*Received: single\w*, not built"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), None, "Sequential with a keras.Input.*not built"),
        (
            lambda: keras.Sequential([keras.Input((3, 2), batch_size=2), keras.layers.LSTM(2, stateful=True)]),
            None,
            "`model` must not keep a state between calls: .*Received: layer 'lstm.*' with stateful=True",
        ),
        (
            lambda: keras.Model((pair := [keras.Input((1,)), keras.Input((1,))]), keras.layers.Add()(pair)),
            None,
            r"`model` must have inputs with names .*keras.Input\(..., name='pixels'\). Received: 'keras_tensor",
        ),
        (
            lambda: named("a-b"),
            None,
            "`model` must have inputs with names.*Received: 'a-b'",
        ),
        (
            lambda: named("x", dtype="complex64"),
            None,
            "inputs of the dtypes float32, .*input 'x' of complex64",
        ),
        (
            lambda: named("x"),
            {"y": [[1.0] * 3]},
            r"`example` must have a batch for each input, \['x'\].*'y'",
        ),
        (
            lambda: named("x"),
            [[1.0] * 4],
            r"example of input 'x' must have shape \(any, 3\)",
        ),
    ],
)
def test_models_that_cannot_be_served(model, example, message):
    with pytest.raises(ValueError, match=message):
        keras_signature(model(), example)


def test_a_made_example_suits_embeddings_and_masks():
    tokens = keras.Input((None,), dtype="int64", name="tokens")
    embedded = keras.layers.Embedding(2, 4, mask_zero=True)(tokens)
    model = keras.Model(tokens, keras.layers.GlobalAveragePooling1D()(embedded))
    values = keras_signature(model).example_arrays()["tokens"]
    assert (values.shape, values.dtype, set(values.ravel())) == ((2, 32), np.int64, {1})
    assert np.isfinite(model(values)).all()


def test_inputs_and_outputs_of_every_dtype(tmp_path):
    dtypes = [dtype for dtype in DTYPES if dtype != "string"]
    inputs = {f"x_{dtype}": keras.Input((3,), dtype=dtype, name=f"x_{dtype}") for dtype in dtypes}
    outputs = {f"y_{dtype}": keras.ops.expand_dims(inputs[f"x_{dtype}"], -1) for dtype in dtypes}
    with StockModel(export(tmp_path, keras.Model(inputs, outputs))) as served:
        values = {f"x_{dtype}": [[1, 0, 1]] for dtype in dtypes} | {"x_bool": [[True, False, True]]}
        found = served.run("serving_default", values)
    for dtype in dtypes:
        array = found[f"y_{dtype}"]
        assert (array.dtype.name, array.astype(int).tolist()) == (dtype, [[[1], [0], [1]]])


def test_masks_states_and_any_batch_survive(tmp_path):
    keras.utils.set_random_seed(0)
    model = recurrent()
    with StockModel(export(tmp_path, model)) as served:
        sizes = {name: shape for name, (_, shape) in served.signatures["serving_default"]["inputs"].items()}
        assert sizes == {"cell": (None, 4), "hidden": (None, 4), "tokens": (None, None)}
        for rows, steps in ((1, 3), (7, 5)):
            draw = np.random.default_rng(rows)
            state = {name: draw.normal(size=(rows, 4)).astype(np.float32) for name in ("hidden", "cell")}
            tokens = draw.integers(1, 7, (rows, steps)).astype(np.int32)
            found = served.run("serving_default", {"tokens": tokens, **state})
            for name, value in model({"tokens": tokens, **state}).items():
                np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)
            padded = np.pad(tokens, [[0, 0], [0, 4]])
            again = served.run("serving_default", {"tokens": padded, **state})
            np.testing.assert_allclose(again["logits"], found["logits"], rtol=1e-5, atol=1e-6)


def test_outputs_other_than_the_models_are_refused(tmp_path):
    class Eager(keras.layers.Layer):
        def call(self, x):
            return x + 1 if tf.executing_eagerly() else x

    with pytest.raises(CheckFailed, match="Output 'outputs': differs from that of the Keras model by up to 1"):
        export(tmp_path, sequential(Eager(name="eager")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x - tf.reduce_mean(x, axis=0), "in a batch of 1: differs from that in a batch of 2"),
        (lambda x: tf.math.log(x - 1), "output 'outputs' must be finite on the example. Received: nan"),
        (tf.function(lambda x: 2 * x, jit_compile=True), "a function has `jit_compile=True`, and a default TensorFlow"),
    ],
)
def test_models_that_a_server_cannot_run_rightly(tmp_path, function, message):
    with pytest.raises((CheckFailed, ValueError), match=message):
        export(tmp_path, sequential(keras.layers.Lambda(lambda x: function(x), name="lambda")))
    assert list(tmp_path.iterdir()) == []


def test_half_precision_has_its_own_tolerance(tmp_path):
    keras.utils.set_random_seed(0)
    model = sequential(
        keras.layers.Dense(64, "gelu", dtype="mixed_bfloat16"), keras.layers.Dense(2, dtype="float32"), name="x"
    )
    export(tmp_path, model)

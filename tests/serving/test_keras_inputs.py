import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving import keras_signature

FLOATS = np.ones((2, 3), np.float32)


class Embedded(keras.Model):
    """A subclassed model of tokens, for which floats would do too."""

    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(9, 3)

    def call(self, x):
        return self.embedding(x)


class Pair(keras.Model):
    """A subclassed model of a list of two tensors."""

    def call(self, pair):
        a, b = pair
        return a + b


class Noisy(keras.Model):
    """A subclassed model that must be told whether it is trained, and does something else if so."""

    def call(self, x, training):
        return x + 1 if training else x


class Words(keras.Model):
    """A subclassed model of text."""

    def __init__(self):
        super().__init__()
        self.lookup = keras.layers.StringLookup(vocabulary=["to", "be"])

    def call(self, x):
        return self.lookup(x)


def called(model, *batches, **options):
    model(*batches, **options)
    return model


@pytest.mark.parametrize(("kind", "batch"), [(Embedded, np.ones((2, 5), np.int32)), (Words, tf.constant(["to"]))])
def test_a_subclassed_model_without_an_example_is_refused(kind, batch):
    message = "`example` must be a batch, .*Keras does not keep the dtypes.*Received: example=None for .*called with x"
    with pytest.raises(ValueError, match=message):
        keras_signature(called(kind(), batch))


@pytest.mark.parametrize(
    ("kind", "batch", "example", "dtype"),
    [
        (Embedded, np.ones((2, 5), np.int32), [[1, 2, 3, 4, 5]], "int32"),
        (Embedded, np.ones((2, 5), np.int64), np.ones((3, 5), np.int64), "int64"),
        (Embedded, np.ones((2, 5), np.int64), tf.ones([3, 5], tf.int64), "int64"),
        (Words, tf.constant(["to"]), ["be"], "string"),
    ],
)
def test_a_subclassed_model_has_the_dtype_of_its_example(kind, batch, example, dtype):
    model = called(kind(), batch)
    assert keras_signature(model, example).inputs["inputs"].dtype.name == dtype
    assert keras_signature(model, {"x": example}).inputs["x"].dtype.name == dtype


def test_a_subclassed_model_is_not_trained():
    model = called(Noisy(), FLOATS, training=True)
    for example, name in ((FLOATS, "inputs"), ({"x": FLOATS}, "x")):
        signature = keras_signature(model, example)
        np.testing.assert_array_equal(signature(**{name: tf.constant(FLOATS)})["outputs"], FLOATS)


@pytest.mark.parametrize("example", [None, [FLOATS, FLOATS], {"pair": [FLOATS, FLOATS]}])
def test_a_list_of_tensors_has_no_names(example):
    if example is None:
        message = "`example` must be a batch"
    else:
        message = r"`model` must be called on tensors, or on a dict.*called on the shapes \[\(2, 3\), \(2, 3\)\]"
    with pytest.raises(ValueError, match=message):
        keras_signature(called(Pair(), [FLOATS, FLOATS]), example)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"foo": [[1] * 5]}, r"`example` must have a batch for each input, \['x'\]. Received: \['foo'\]"),
        ({"x": [[1] * 5], "y": [1]}, r"`example` must have a batch for each input, \['x'\]. Received: \['x', 'y'\]"),
        ([[1] * 5, [2]], r"`example` must have batches that are arrays. Received: inputs=\[\[1, "),
    ],
)
def test_examples_that_do_not_fit_a_subclassed_model(example, message):
    with pytest.raises(ValueError, match=message):
        keras_signature(called(Embedded(), np.ones((2, 5), np.int32)), example)


def test_a_ragged_input_is_refused():
    rows = keras.Input((None,), ragged=True, name="rows")
    model = keras.Model(rows, keras.layers.Embedding(5, 3)(rows))
    with pytest.raises(ValueError, match=r"`model` must have dense inputs\. .*Received: input 'rows' with ragged=True"):
        keras_signature(model)


def test_a_sparse_input_is_served_as_a_dense_one():
    counts = keras.Input((3,), sparse=True, name="counts")
    model = keras.Model(counts, keras.layers.Dense(2)(counts))
    found = keras_signature(model)(counts=tf.constant(FLOATS))["outputs"]
    np.testing.assert_allclose(found, model(tf.sparse.from_dense(FLOATS)), rtol=1e-6)


@pytest.mark.parametrize("name", ["class", "from", "lambda", "self"])
def test_names_that_tensorflow_cannot_pass_on(name):
    x = keras.Input((2,), name=name)
    message = f"names that consist of .*neither `self` nor a keyword of Python.*Received: '{name}' among"
    with pytest.raises(ValueError, match=message):
        keras_signature(keras.Model(x, keras.layers.Dense(1)(x)))

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.serving import Bound, Card, CheckFailed, Signature, StockModel, export, newest, read_card, read_provenance

NUMBERS = {"x": tf.TensorSpec([None], tf.float32)}


def signature(function, name="serving_default"):
    return Signature(name, function, NUMBERS, {"x": [1.0, 2.0]}, "A test.")


def test_importing_the_package_is_light():
    code = "import sys, ikelos.serving; print({'tensorflow', 'keras'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_what_a_version_holds(version):
    assert version.name == "1"
    assert [path.name for path in version.parent.iterdir()] == ["1"]
    examples = json.loads((version / "assets.extra" / "ikelos_examples.json").read_text())
    assert examples["shout"] == {
        "doc": "Upper case.",
        "inputs": {"text": ["héllo", "world"], "times": [1, -2]},
    }


def test_only_what_is_used_is_saved(version, keras_model):
    saved = dict(tf.train.list_variables(str(version / "variables" / "variables")))
    shapes = [shape for name, shape in saved.items() if name.startswith("used/")]
    assert sorted(map(tuple, shapes)) == sorted(tuple(weight.shape) for weight in keras_model.weights)
    assert len(saved) == len(shapes) + 1  # and the graph of objects
    assert len(keras_model.optimizer.variables) > len(shapes)


def test_control_flow_on_tensors_is_that_of_a_tf_function(tmp_path, unchecked):
    def halved(x):
        while tf.reduce_max(x) > 1:
            x = tf.where(x > 1, x / 2, x)
        return {"y": x}

    with pytest.raises(TypeError, match=r"decorate this function with @tf\.function"):
        export(tmp_path, None, [signature(halved)])
    version = export(tmp_path, None, [signature(tf.function(halved))])
    found = tf.saved_model.load(version).signatures["serving_default"](x=tf.constant([1.0, 6.0]))
    np.testing.assert_array_equal(found["y"], [1.0, 0.75])


def test_an_asset_file_travels_along(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("to\nbe\n")
    initializer = tf.lookup.TextFileInitializer(
        str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    table = tf.lookup.StaticHashTable(initializer, -1)
    lookup = Signature(
        "serving_default",
        lambda word: {"id": table.lookup(word)},
        {"word": tf.TensorSpec([None], tf.string)},
        {"word": ["be"]},
        "Line numbers of words.",
    )
    version = export(tmp_path / "models", {"tables": [table]}, [lookup])
    words.unlink()
    with StockModel(version) as model:
        assert model.run("serving_default", {"word": ["be", "to", "or"]})["id"].tolist() == [1, 0, -1]


def test_traced_on_the_reference_path(tmp_path, monkeypatch, unchecked):
    scopes = []
    use = kernels.use
    monkeypatch.setattr(kernels, "use", lambda name: scopes.append(name) or use(name))
    export(tmp_path, [], [signature(lambda x: {"y": x}), signature(lambda x: {"y": -x}, "negative")])
    assert scopes == ["reference", "reference"]


def test_a_model_that_fails_the_check_gets_no_number(tmp_path):
    def now():
        return tf.cast(tf.timestamp() % 1000, tf.float32)

    with pytest.raises(CheckFailed, match="Signature 'clock', output 'y': differs from Python's answer"):
        export(tmp_path, [], [signature(lambda x: {"y": tf.zeros_like(x) + now()}, "clock")])
    assert list(tmp_path.iterdir()) == []


def test_a_version_says_what_it_was_made_from(tmp_path, unchecked):
    assert newest(tmp_path / "missing") is newest(tmp_path) is None
    for provenance in ({"weights": "a"}, None):
        version = export(tmp_path, [], [signature(lambda x: {"y": -x})], card=Card(provenance=provenance))
        assert newest(tmp_path) == version
        assert read_provenance(version) == provenance


def test_a_model_that_fails_on_its_example_is_no_failing_disk(tmp_path):
    def checked(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 2.0, message="x is too big")]):
            return {"y": tf.identity(x)}

    with pytest.raises(tf.errors.InvalidArgumentError, match="x is too big"):
        export(tmp_path, [], [signature(checked)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, "Signature 'f': `function` must return a dict of tensors"),
        (lambda x: {}, "Signature 'f': `function` must return a dict of tensors"),
        (lambda x: {"a b": x}, "'f': output 'a b' must have a name of letters"),
        (lambda x: {"y": [1.0]}, "'f': output 'y' must be a dense tensor"),
        (lambda x: {"y": tf.RaggedTensor.from_row_splits(x, [0, 2])}, "output 'y' must be a dense tensor"),
        (lambda x: {"y": tf.sparse.from_dense(x)}, "output 'y' must be a dense tensor"),
        (lambda x: {"y": tf.cast(x, tf.complex64)}, "output 'y' must have one of the dtypes .*complex64"),
        (lambda x: {"y": tf.reduce_sum(x)}, r"output 'y' must be batch-first.*shape \(\)"),
        (lambda x: {"y": tf.zeros([2, 2])}, r"output 'y' must be batch-first.*shape \(2, 2\)"),
        (lambda x: {"y": x[1:]}, "output 'y' must have a row for each of the 2 rows"),
    ],
)
def test_functions_that_can_not_be_served(tmp_path, unchecked, function, message):
    with pytest.raises(ValueError, match=message):
        export(tmp_path, [], [signature(function, "f")])
    assert list(tmp_path.iterdir()) == []


def test_names_must_differ(tmp_path):
    same = signature(lambda x: {"y": x})
    for signatures in ([], [same, same]):
        with pytest.raises(ValueError, match="`signatures` must be at least one, with different names"):
            export(tmp_path, [], signatures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_path": None}, "`base_path` must be a path, with `model` after it.* Received: base_path=None"),
        (
            {"base_path": keras.Sequential(name="net"), "model": "models"},
            r"`base_path` must be a path, with `model` after it: export\(path, model\). Received: .*<Sequential",
        ),
        (
            {"signatures": signature(lambda x: {"y": x})},
            r"`signatures` must be a list of Signatures or None. Received: ",
        ),
        (
            {"signatures": ["serving_default"]},
            r"`signatures` must be a list of .*Received: signatures=\['serving_default",
        ),
        ({"signatures": {}}, "`signatures` must be a list of Signatures or None. Received: signatures={}"),
        ({"card": {"task": "x"}}, "`card` must be a Card or None. Received: card={'task': 'x'}"),
        ({"warmup_batch_sizes": 8}, "`warmup_batch_sizes` must be positive integers in increasing order. .*=8"),
        ({"warmup_batch_sizes": [1.5]}, "`warmup_batch_sizes` must be positive integers in increasing order. .*1.5"),
        ({"warmup_batch_sizes": []}, "`warmup_batch_sizes` must be positive integers in increasing order"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_done(tmp_path, arguments, message):
    defaults = {"base_path": tmp_path, "model": [], "signatures": [signature(lambda x: 1 / 0)]}
    with pytest.raises(ValueError, match=message):
        export(**defaults | arguments)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_numbers(tmp_path, unchecked):
    model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1, name="y")])
    limits = {"bounds": {"x": Bound(np.array([0, 1]))}, "max_rows": np.int64(4)}
    card = read_card(export(tmp_path, model, **limits, warmup_batch_sizes=np.array([1, 2])))
    assert card["warmup_batch_sizes"] == [1, 2]
    assert card["signatures"]["serving_default"]["max_rows"] == 4
    assert card["signatures"]["serving_default"]["inputs"]["x"]["bounds"] == {"values": [0, 1]}


def test_a_table_that_the_model_does_not_hold(tmp_path):
    lookup = keras.layers.StringLookup(vocabulary=["1.0"])
    ids = signature(lambda x: {"id": lookup(tf.strings.as_string(x))}, "ids")
    with pytest.raises(ValueError, match="Signature 'ids': `model` must contain every table that it uses"):
        export(tmp_path, [], [ids])


def test_a_variable_is_saved_as_it_was_before_the_examples_ran(tmp_path, unchecked):
    calls = tf.Variable(0.0)

    def count(x):
        with tf.control_dependencies([calls.assign_add(1.0)]):
            return {"x": tf.identity(x)}

    counted = signature(lambda x: {"calls": tf.zeros_like(x) + calls}, "counted")
    version = export(tmp_path, {"calls": calls}, [signature(count, "count"), counted])
    assert calls.numpy() == 4  # the example, each of its two rows, and seven rows
    with StockModel(version) as model:
        assert model.run("counted", {"x": [0.0]})["calls"].tolist() == [0.0]


@pytest.mark.skipif(not kernels.status()["loaded"], reason="the package was built without native kernels")
def test_native_ops_are_left_out_of_the_graph_or_found_by_the_check(tmp_path):
    def normalize(implementation):
        return lambda x: {"y": kernels.rms_norm(x[:, None] * [1.0, 2.0], [1.0, 1.0], implementation=implementation)}

    assert kernels.explain("rms_norm").implementation == "native"
    version = export(tmp_path, [], [signature(normalize(None))])
    with StockModel(version) as model:
        expected = normalize("native")(tf.constant([3.0, -0.5]))["y"]
        outputs = model.run("serving_default", {"x": [3.0, -0.5]})
        np.testing.assert_allclose(outputs["y"], expected, rtol=1e-6)
    with pytest.raises(CheckFailed, match="Op type not registered 'IkelosRmsNorm'"):
        export(tmp_path, [], [signature(normalize("native"))])
    assert [path.name for path in tmp_path.iterdir()] == ["1"]

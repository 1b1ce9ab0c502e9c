import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving import CheckFailed, Signature, StockModel, export, read_card, stored_weights
from ikelos.serving.weights import decode, encode, output_changes

MATRIX = np.random.default_rng(0).standard_normal([6, 4]).astype(np.float32)
IDS = {"ids": tf.TensorSpec([None], tf.int32)}


class Words(tf.Module):
    """A table that two signatures share, a matrix that is read in a loop, a matrix that is assigned, and others."""

    def __init__(self, table):
        super().__init__()
        self.table, self.square = tf.Variable(table), tf.Variable(table[:4] / 2)
        self.bias, self.places = tf.Variable(table[5]), tf.Variable(np.arange(24).reshape(6, 4))
        self.assigned = tf.Variable(table[:1])
        self.any_size = tf.Variable(table[:1], shape=[None, 4])  # stays as it is, as do vectors and integers

    def looked_up(self, ids):
        words = tf.gather(self.table, ids) + tf.cast(tf.gather(self.places, ids), tf.float32)
        _, twice = tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, y @ self.square), [0, words])
        return {"y": twice + self.bias + 0 * self.any_size}

    def assigning(self, ids):
        before = self.assigned + tf.gather(self.table, ids)
        with tf.control_dependencies([before]), tf.control_dependencies([self.assigned.assign_add(0 * before[:1])]):
            return {"y": tf.identity(before), "even": tf.strings.as_string(before[:, 0])}

    def signatures(self):
        functions = {"serving_default": self.looked_up, "assigning": self.assigning}
        return [Signature(name, function, IDS, {"ids": [0, 5, 2]}, "A test.") for name, function in functions.items()]


def nearest_bfloat16(value):
    """Returns the nearest numbers with 16 bits, of two equally near ones the even one."""
    bits = value.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def nearest_int8(value):
    step = np.abs(value).max(axis=0) / np.float32(127)
    return np.round(value / step) * step


NEAREST = {"bfloat16": nearest_bfloat16, "int8": nearest_int8}


@pytest.mark.parametrize("weights", NEAREST)
def test_a_server_computes_with_the_rounded_matrices(tmp_path, weights, request):
    if weights != "bfloat16":
        request.getfixturevalue("unchecked")
    model, nearest = Words(MATRIX), NEAREST[weights]
    version = export(tmp_path, model, model.signatures(), weights=weights)
    for variable, value in ((model.table, MATRIX), (model.square, MATRIX[:4] / 2), (model.assigned, MATRIX[:1])):
        np.testing.assert_array_equal(variable, value)
    table, square, first = nearest(MATRIX), nearest(MATRIX[:4] / 2), nearest(MATRIX[:1])
    ids = [3, 1]
    expected = (table[ids] + np.arange(24).reshape(6, 4)[ids]) @ square @ square + MATRIX[5]
    loaded = tf.saved_model.load(version).signatures["serving_default"]
    with StockModel(version) as served:
        for found in (served.run("serving_default", {"ids": ids}), loaded(ids=tf.constant(ids))):
            np.testing.assert_allclose(found["y"], expected, rtol=1e-5)
        np.testing.assert_allclose(served.run("assigning", {"ids": ids})["y"], table[ids] + first, rtol=1e-6)

    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    held = [reader.get_tensor(name) for name, shape in reader.get_variable_to_shape_map().items() if shape == [6, 4]]
    (stored,) = (array for array in held if array.dtype == encode(MATRIX, weights)[0].dtype)
    np.testing.assert_array_equal(stored, encode(MATRIX, weights)[0])
    dtypes = {name: dtype.name for name, dtype in reader.get_variable_to_dtype_map().items() if dtype != tf.string}
    shapes = sorted((dtype, reader.get_tensor(name).shape) for name, dtype in dtypes.items())
    kept = [("float32", (4,)), ("float32", (1, 4)), ("int64", (6, 4))]
    scales = [("float32", (1, 4))] * 3 if weights == "int8" else []
    assert shapes == sorted([(weights, (1, 4)), (weights, (4, 4)), (weights, (6, 4)), *kept, *scales])

    facts = read_card(version)["weights"]
    bits = {"bfloat16": 2 * 44, "int8": 44 + 3 * 16}[weights]
    assert (facts["stored_as"], facts["bytes"], facts["float32_bytes"]) == (weights, 224 + bits, 224 + 4 * 44)
    example = [0, 5, 2]
    difference = np.abs(table[example] + first - MATRIX[example] - MATRIX[:1]).max()
    assert facts["changes"]["assigning"]["y"] == pytest.approx(difference, rel=1e-3)
    assert facts["changes"]["assigning"]["even"] == 1
    assert f"Stored as {weights}" in (version / "assets.extra" / "ikelos_card.html").read_text()


def test_versions_of_a_model_do_not_share_weights(tmp_path, unchecked):
    models = [Words(MATRIX), Words(-MATRIX)]
    versions = [export(tmp_path, model, model.signatures(), weights="bfloat16") for model in models]
    loaded = [tf.saved_model.load(version).signatures["assigning"] for version in versions]
    first, second = (function(ids=tf.constant([1]))["y"].numpy() for function in loaded)
    np.testing.assert_array_equal(first, -second)


def test_an_error_leaves_the_model_as_it_was(tmp_path):
    model = Words(MATRIX)
    (failing, _) = model.signatures()
    with pytest.raises(tf.errors.InvalidArgumentError):
        export(tmp_path, model, [Signature("f", failing.function, IDS, {"ids": [99]}, "A test.")], weights="bfloat16")
    np.testing.assert_array_equal(model.table, MATRIX)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_smaller_than_the_rounding_is_found(tmp_path):
    class Eager(keras.layers.Layer):
        def call(self, x):
            return x * 1.001 if tf.executing_eagerly() else x

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(64, name="dense"), Eager()])
    with pytest.raises(CheckFailed, match="differs from that of the Keras model by up to"):
        export(tmp_path, model, weights="int8")


def test_other_formats_are_refused(tmp_path):
    message = "`weights` must be one of float32, bfloat16, int8. Received: weights='int4'"
    with pytest.raises(ValueError, match=message):
        export(tmp_path, Words(MATRIX), [], weights="int4")
    with pytest.raises(ValueError, match=message), stored_weights(Words(MATRIX), "int4"):
        pass


def test_a_model_is_measured_with_the_rounded_weights():
    keras.utils.set_random_seed(0)
    words = Words(MATRIX)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, bias_initializer="normal")])
    before = model.get_weights()

    def measure():
        with stored_weights({"a": [model], "b": words}, "bfloat16"):
            np.testing.assert_array_equal(model.get_weights()[0], nearest_bfloat16(before[0]))
            np.testing.assert_array_equal(model.get_weights()[1], before[1])
            np.testing.assert_array_equal(words.table, nearest_bfloat16(MATRIX))
            np.testing.assert_array_equal(words.places, np.arange(24).reshape(6, 4))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure()
    for now, then in zip([*model.get_weights(), words.table], [*before, MATRIX], strict=True):
        np.testing.assert_array_equal(now, then)
    with stored_weights(model, "float32"):
        np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_the_largest_numbers_stay_finite_in_bfloat16():
    limits = np.finfo(np.float32)
    value = np.array([[limits.max, limits.min, np.inf, -np.inf, np.nan, 0, 1e-40]], np.float32)
    found = decode(encode(value, "bfloat16"))
    largest = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
    np.testing.assert_array_equal(found[0, :6], np.float32([largest, -largest, np.inf, -np.inf, np.nan, 0]))
    np.testing.assert_array_equal(found[0, 6:], nearest_bfloat16(value[0, 6:]))


def test_int8_has_a_scale_for_each_column():
    matrix = np.random.default_rng(0).standard_normal([50, 3]).astype(np.float32) * [1e-3, 1, 1e3]
    matrix = np.concatenate([matrix, np.zeros([50, 1])], axis=1).astype(np.float32)
    values, scale = encode(matrix, "int8")
    assert (values.dtype, scale.shape) == (np.int8, (1, 4))
    assert (np.abs(values).max(axis=0) == [127, 127, 127, 0]).all()
    # Rounding is off by at most half a step.
    assert (np.abs(decode([values, scale]) - matrix) <= 0.501 * scale).all()
    assert [array.shape for array in encode(np.zeros([0, 3], np.float32), "int8")] == [(0, 3), (1, 3)]


def test_int8_refuses_a_matrix_that_is_not_finite_by_its_name():
    module = tf.Module()
    module.first, module.second = tf.Variable(MATRIX), tf.Variable([[1.0, np.inf]], name="broken")
    message = "`weights` must be float32 or bfloat16 for a matrix with numbers that are not finite.*'broken"
    with pytest.raises(ValueError, match=message), stored_weights(module, "int8"):
        pass
    np.testing.assert_array_equal(module.first, MATRIX)


def test_a_variable_that_two_objects_hold_is_restored():
    model, module = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), tf.Module()
    module.kernel, module.again = model.layers[0].kernel.value, model
    before = model.get_weights()[0]
    for weights in ("bfloat16", "int8"):
        with stored_weights([model, module], weights):
            assert (model.get_weights()[0] != before).any()
        np.testing.assert_array_equal(model.get_weights()[0], before)


def test_changes_of_floats_are_distances_and_of_others_rows():
    before = {"y": np.float32([[1, 2, 9], [3, 4, 9]]), "text": np.array([[b"a"], [b"b"]], object)}
    after = {"y": np.float32([[1, 2.5], [3.25, 4]]), "text": np.array([[b"a", b""], [b"b", b"c"]], object)}
    assert output_changes(before, after) == {"y": 0.5, "text": 1.0}
    assert output_changes(before, before) == {"y": 0.0, "text": 0.0}

import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving import Bound, Signature, StockError, StockModel, export
from ikelos.serving.bounds import fitted, text_of, within

SPECS = {
    "text": tf.TensorSpec([None], tf.string),
    "number": tf.TensorSpec([None], tf.float32),
    "table": tf.TensorSpec([None, None, 2, None], tf.int32),
}
EXAMPLE = {"text": ["ab", ""], "number": [0.5, -1.0], "table": np.ones([2, 1, 2, 3], int).tolist()}
BOUNDS = {"text": Bound(max_bytes=3), "number": Bound((-1, 0.5)), "table": Bound((0, 7), max_size=3)}


def bounded(**changes):
    def function(text, number, table):
        return {"bytes": tf.strings.length(text), "same": number, "sum": tf.reduce_sum(table, [1, 2, 3])}

    settings = {"bounds": BOUNDS, "max_rows": 4} | changes
    return Signature("serving_default", function, SPECS, EXAMPLE, "A test.", **settings)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with StockModel(export(tmp_path_factory.mktemp("bounds"), [], [bounded()])) as model:
        yield model


def test_inputs_within_the_bounds_are_taken(model):
    found = model.run("serving_default", EXAMPLE)
    assert found["bytes"].tolist() == [2, 0]
    assert found["sum"].tolist() == [6, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ["abcd", ""]}, r"The bytes of `text` must be between 0 and 3. Received:\] \[4\]"),
        ({"text": ["éé", ""]}, r"The bytes of `text` must be between 0 and 3. Received:\] \[4\]"),
        ({"number": [0.5, 0.75]}, r"`number` must be between -1 and 0.5. Received:\] \[0.75\]"),
        ({"number": [float("nan"), 0.0]}, r"`number` must be between -1 and 0.5. Received:\] \[nan\]"),
        ({"number": [float("-inf"), 0.0]}, r"`number` must be between -1 and 0.5. Received:\] \[-inf\]"),
        ({"table": np.full([2, 1, 2, 1], 8).tolist()}, r"`table` must be between 0 and 7. Received:\] \[8 8"),
        ({"table": np.ones([2, 4, 2, 1], int).tolist()}, r"The positions of `table` must be between 0 and 3.*\[4\]"),
        ({"table": np.ones([2, 1, 2, 5], int).tolist()}, r"The positions of `table` must be between 0 and 3.*\[5\]"),
        ({"text": ["a"]}, "`text` must have as many rows as `number`|must have as many rows as `text`"),
    ],
)
def test_the_input_and_its_bound_are_named(model, change, message):
    with pytest.raises(StockError, match=message):
        model.run("serving_default", EXAMPLE | change)


@pytest.mark.parametrize("rows", [0, 5])
def test_batches_of_no_or_too_many_rows_are_refused(model, rows):
    inputs = {"text": [""] * rows, "number": [0.0] * rows, "table": np.ones([rows, 1, 2, 1], np.int32)}
    with pytest.raises(StockError, match=rf"The rows of `\w+` must be between 1 and 4. Received:\] \[{rows}\]"):
        model.run("serving_default", inputs)


def test_nothing_is_done_with_inputs_out_of_bounds():
    done = []

    def function(text, number, table):
        return {"done": tf.py_function(lambda x: done.append(1) or x, [number], tf.float32)}

    signature = Signature("f", function, SPECS, EXAMPLE, "A test.", BOUNDS)
    inputs = {name: tf.constant(value, SPECS[name].dtype) for name, value in EXAMPLE.items()}
    run = tf.function(lambda **given: signature(**given), autograph=False)
    run(**inputs)
    for bad in ({"text": tf.constant(["abcd", ""])}, {"table": tf.ones([2, 9, 2, 1], tf.int32)}):
        with pytest.raises(tf.errors.InvalidArgumentError):
            run(**inputs | bad)
    assert done == [1]


def test_no_bounds_are_none():
    inputs = {name: tf.constant(value, SPECS[name].dtype) for name, value in EXAMPLE.items()}
    free = bounded(bounds={}, max_rows=None)
    assert free(**inputs | {"text": tf.constant(["abcd" * 99, ""])})["bytes"][0] == 396
    empty = {"text": tf.zeros([0], tf.string), "number": tf.zeros([0]), "table": tf.zeros([0, 1, 2, 1], tf.int32)}
    assert free(**empty)["bytes"].shape == (0,)


def test_the_ends_of_a_range_are_inside():
    within("`x`", tf.constant([2**31 - 1, -(2**31)]), -(2**31), 2**31 - 1)
    within("`x`", tf.constant([tf.float32.max]), 0.0, tf.float32.max)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`x` must be between 0 and 2147483646"):
        within("`x`", tf.constant([2**31 - 1]), 0, 2**31 - 2)


@pytest.mark.parametrize(
    ("bound", "facts", "words"),
    [
        (Bound(), {}, ""),
        (Bound((0, 1024)), {"values": [0, 1024]}, "0 to 1024"),
        (Bound((1e-6, np.float32(1))), {"values": [1e-6, 1.0]}, "1e-06 to 1"),
        (
            Bound(max_bytes=4096, max_size=8),
            {"max_bytes": 4096, "max_size": 8},
            "at most 4,096 bytes, at most 8 positions",
        ),
    ],
)
def test_facts_and_words(bound, facts, words):
    assert bound.facts() == facts
    assert text_of(facts, "float32") == words


@pytest.mark.parametrize(
    ("dtype", "values", "words"),
    [
        ("int32", (0, np.inf), "at least 0"),
        ("uint8", (0, np.inf), ""),
        ("uint8", (0, 254), "at most 254"),
        ("float16", (-np.inf, 5), "at most 5"),
        ("float16", (-1, np.inf), "at least -1"),
        ("float64", (-np.inf, np.inf), "finite"),
    ],
)
def test_words_for_a_range_that_ends_with_the_dtype(dtype, values, words):
    bound = fitted("f", {"x": Bound(values)}, {"x": tf.TensorSpec([None], dtype)})["x"]
    assert text_of(bound.facts(), dtype) == words


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"values": (2, 1)}, r"`values` must be a smallest and a largest number. Received: values=\(2, 1\)"),
        ({"values": (float("nan"), 1)}, "`values` must be a smallest"),
        ({"values": 5}, "`values` must be a smallest and a largest number. Received: values=5"),
        ({"values": (1,)}, r"`values` must be a smallest and a largest number. Received: values=\(1,\)"),
        ({"values": (1, 2, 3)}, "`values` must be a smallest"),
        ({"values": ("a", "b")}, "`values` must be a smallest"),
        ({"values": (False, True)}, "`values` must be a smallest"),
        ({"max_bytes": "5"}, "`max_bytes` must be a positive integer or None. Received: max_bytes='5'"),
        ({"max_bytes": 2.5}, "`max_bytes` must be a positive integer or None. Received: max_bytes=2.5"),
        ({"max_size": True}, "`max_size` must be a positive integer or None. Received: max_size=True"),
        ({"max_bytes": 0}, "`max_bytes` must be a positive integer or None. Received: max_bytes=0"),
        ({"max_size": -1}, "`max_size` must be a positive integer or None. Received: max_size=-1"),
    ],
)
def test_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        Bound(**values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"bounds": {"texts": Bound()}},
            r"`bounds` must be of inputs, \['number', 'table', 'text'\]. Received: 'texts'",
        ),
        ({"bounds": {"text": Bound((0, 1))}}, "input 'text' of string, shape .* has no `values`"),
        ({"bounds": {"text": Bound(max_size=1)}}, "input 'text' of string, shape .* has no `max_size`"),
        ({"bounds": {"number": Bound(max_bytes=1)}}, "input 'number' of float32, shape .* has no `max_bytes`"),
        ({"bounds": {"text": (0, 1)}}, r"`bounds\['text'\]` must be a Bound. Received: bounds\['text'\]=\(0, 1\)"),
        (
            {"bounds": Bound((0, 1))},
            r"`bounds` must be a dict of Bounds by the names of inputs. Received: bounds=Bound\(",
        ),
        ({"max_rows": 0}, "`max_rows` must be a positive integer or None. Received: max_rows=0"),
        ({"max_rows": True}, "`max_rows` must be a positive integer or None. Received: max_rows=True"),
    ],
)
def test_a_signature_refuses_bounds_of_other_inputs(changes, message):
    with pytest.raises(ValueError, match=message):
        bounded(**changes)


def bounded_number(dtype, *values):
    """Returns a signature with a bounded number of a dtype."""
    spec = tf.TensorSpec([None], dtype)
    return Signature("f", lambda x: {"y": x}, {"x": spec}, {"x": [1]}, "A test.", {"x": Bound(values)})


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("uint8", (0, 300)),
        ("int8", (-129, 3)),
        ("uint16", (-1, 10)),
        ("uint64", (0, 2**64)),
        ("int32", (0.5, 3)),
        ("int32", (0, 1e20)),
        ("int32", (float("inf"), float("inf"))),
        ("float16", (0, 1e6)),
        ("float32", (-1e39, 0)),
    ],
)
def test_numbers_outside_the_dtype_are_refused(dtype, values):
    with pytest.raises(
        ValueError, match=rf"Signature 'f': the bound of input 'x' of {dtype} must be .*numbers from .*="
    ):
        bounded_number(dtype, *values)


@pytest.mark.parametrize(
    ("dtype", "values", "fitted"),
    [
        ("int32", (0.0, 3.0), (0, 3)),
        ("int32", (0, float("inf")), (0, 2**31 - 1)),
        ("uint8", (float("-inf"), np.float32(9)), (0, 9)),
        ("int64", (-(2**63), 2**63 - 1), (-(2**63), 2**63 - 1)),
        ("uint64", (1, 2**64 - 1), (1, 2**64 - 1)),
        ("float16", (0, float("inf")), (0, 65504.0)),
        ("float32", (0.25, np.int64(2)), (0.25, 2)),
    ],
)
def test_numbers_become_those_of_the_dtype(dtype, values, fitted):
    signature = bounded_number(dtype, *values)
    assert signature.bounds["x"].facts() == {"values": list(fitted)}
    assert {type(value) for value in signature.bounds["x"].values} <= {int, float}
    tensors = tf.constant(list(fitted), dtype)
    assert signature(x=tensors)["y"].shape == (2,)


def test_a_bound_of_few_bits_limits_what_it_says():
    signature = bounded_number("uint8", 0, 250)
    assert signature(x=tf.constant([250], tf.uint8))["y"].numpy() == 250
    with pytest.raises(tf.errors.InvalidArgumentError, match="`x` must be between 0 and 250"):
        signature(x=tf.constant([251], tf.uint8))


def test_any_number_of_bytes_may_be_the_most():
    free = bounded(bounds={"text": Bound(max_bytes=3_000_000_000)})
    inputs = {name: tf.constant(value, SPECS[name].dtype) for name, value in EXAMPLE.items()}
    assert free(**inputs)["bytes"].numpy().tolist() == [2, 0]

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving.values import DTYPES, shape_text, to_array


@pytest.mark.parametrize(("name", "number", "dtype"), [(name, *pair) for name, pair in DTYPES.items()])
def test_dtypes_agree_with_tensorflow(name, number, dtype):
    assert tf.dtypes.as_dtype(name).as_datatype_enum == number
    assert np.dtype(tf.dtypes.as_dtype(name).as_numpy_dtype) == dtype


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([[1, 2.5]], "float32", np.array([[1, 2.5]], np.float32)),
        ([float("inf"), float("nan")], "float32", np.array([np.inf, np.nan], np.float32)),
        ([1, -(2**63)], "int64", np.array([1, -(2**63)])),
        ([0, 255], "uint8", np.array([0, 255], np.uint8)),
        ([True], "bool", np.array([True])),
        ([1, 2.5, float("inf")], "bfloat16", np.array([1, 2.5, np.inf], ml_dtypes.bfloat16)),
        ([0, 2**64 - 1], "uint64", np.array([0, 2**64 - 1], np.uint64)),
        ([1, 10**20], "float32", np.array([1, 1e20], np.float32)),  # as JavaScript writes 1e20
        ([], "int32", np.array([], np.int32)),
        (np.array([[1], [2]], np.int32).T, "int32", np.array([[1, 2]], np.int32)),
        (["é", b"\xff\x00"], "string", np.array(["é".encode(), b"\xff\x00"], object)),
        (np.array(["a", "bc"]), "string", np.array([b"a", b"bc"], object)),
    ],
)
def test_takes(value, dtype, expected):
    array = to_array("x", value, dtype, None)
    assert array.dtype == expected.dtype
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, expected)


def test_an_array_of_the_dtype_is_not_copied():
    array = np.ones((2, 3), np.float32)
    assert to_array("x", array, "float32", (None, 3)) is array


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "message"),
    [
        (np.zeros(2), "float32", None, "x must have dtype float32. Received: dtype float64"),
        ([1.5], "int32", None, "x must hold int32 values. Received: values of dtype float64"),
        ([[1.5], [True]], "float32", None, "x must hold float32 values. Received: True or False among them"),
        ([1.5, np.True_], "float32", None, "x must hold float32 values. Received: True or False among them"),
        ([10**400], "float64", None, "x must hold float64 values. Received: values of dtype object"),
        ([10**20], "int64", None, "x must hold int64 values. Received: values of dtype object"),
        ([1], "bool", None, "x must hold bool values. Received: values of dtype int64"),
        (["a"], "float32", None, "x must hold float32 values. Received: values of dtype <U1"),
        ([1, 256], "uint8", None, "x must fit into uint8. Received: 256"),
        ([2**31], "int32", None, "x must fit into int32. Received: 2147483648"),
        ([1e300], "float32", None, r"x must fit into float32. Received: 1e\+300"),
        ([1.5, 2], "uint64", None, "x must hold uint64 values. Received: values of dtype float64"),
        ([-1], "uint64", None, "x must fit into uint64. Received: -1"),
        ([1e39], "bfloat16", None, r"x must fit into bfloat16. Received: 1e\+39"),
        (["\ud800"], "string", None, r"x must hold text that UTF-8 can encode. Received: '\\ud800'"),
        ([1, "a"], "string", None, r"x must hold str or bytes. Received: 1 \(int\)"),
        ([[1], [1, 2]], "int32", None, "x must be int32 values in lists of equal lengths"),
        (
            [["a"], ["a", "b"]],
            "string",
            None,
            "x must hold str or bytes|x must be string values in lists of equal lengths",
        ),
        ([1, 2], "int32", (None, 2), r"x must have shape \(any, 2\). Received: shape \(2,\)"),
        ([[1, 2, 3]], "int32", (None, 2), r"x must have shape \(any, 2\). Received: shape \(1, 3\)"),
        ("a", "string", (None,), r"x must have shape \(any,\). Received: shape \(\)"),
    ],
)
def test_refuses(value, dtype, shape, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        to_array("x", value, dtype, shape)


def test_shape_text():
    assert shape_text(None) == "of any rank"
    assert shape_text(()) == "()"
    assert shape_text((None,)) == "(any,)"
    assert shape_text((None, 3)) == "(any, 3)"

import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving import CheckFailed, Signature
from ikelos.serving.batches import of_size, run_example

X = {"x": tf.TensorSpec([None], tf.float32)}


def signature(max_rows=None):
    return Signature("f", lambda x: {"y": x}, X, {"x": [1.0, 2.0, 4.0]}, "A test.", max_rows=max_rows)


def run(function, sizes=None):
    """Returns a function as `run_example` takes it, which notes the sizes of its batches."""

    def of_batch(arrays):
        if sizes is not None:
            sizes.append(len(arrays["x"]))
        return {"y": function(arrays["x"])}

    return of_batch


def test_rows_are_repeated():
    arrays = {"x": np.array([1, 2, 3]), "y": np.array([[b"a"], [b"b"], [b"c"]], object)}
    assert of_size(arrays, 5)["x"].tolist() == [1, 2, 3, 1, 2]
    assert of_size(arrays, 1, first=2)["y"].tolist() == [[b"c"]]


@pytest.mark.parametrize(("max_rows", "sizes"), [(None, [3, 1, 1, 1, 7]), (5, [3, 1, 1, 1, 5])])
def test_the_example_runs_alone_and_in_batches(max_rows, sizes):
    found = []
    assert run_example(signature(max_rows), run(lambda x: 2 * x, found))["y"].tolist() == [2, 4, 8]
    assert found == sizes


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - x.mean(),
        lambda x: x + len(x),
        lambda x: np.cumsum(x),
        lambda x: np.roll(x, 1),
        lambda x: np.array([str(len(x)).encode()] * len(x), object),
    ],
)
def test_a_row_that_depends_on_its_batch_is_refused(function):
    with pytest.raises(CheckFailed, match=r"Signature 'f', output 'y', in a batch of 1: .*that in a batch of 3"):
        run_example(signature(), run(function))


def test_padding_to_the_longest_row_is_no_dependence():
    def padded(x):
        return np.array([[value] * int(value) + [0.0] * int(x.max() - value) for value in x], np.float32)

    assert run_example(signature(), run(padded))["y"].shape == (3, 4)
    with pytest.raises(CheckFailed, match="in a batch of 1"):
        run_example(signature(), run(lambda x: padded(x) + x.max()))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match=f"'f': output 'y' must be finite on the example. Received: {bad}"):
        run_example(signature(), run(lambda x: np.where(x > 3, bad, x)))


def test_another_number_of_rows_is_refused():
    with pytest.raises(ValueError, match=r"output 'y' must have a row for each of the 3 rows of the example.*\(2,\)"):
        run_example(signature(), run(lambda x: x[1:]))

import keras
import numpy as np
import pytest

from ikelos.serving import Bound, CheckFailed, export, keras_signature


def numbers(dtype, shape=(4,)):
    """Returns a model of an input of a dtype and shape."""
    x = keras.Input(shape, dtype=dtype, name="x")
    return keras.Model(x, keras.ops.expand_dims(x, -1))


def texts(**options):
    """Returns a model that averages over all words of a text."""
    x = keras.Input((), dtype="string", name="x")
    words = keras.layers.TextVectorization(vocabulary=["a", "b"], **options)(x)
    return keras.Model(x, keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 4)(words)))


def made(model, bound=None, max_rows=None):
    return keras_signature(model, bounds={"x": bound or Bound()}, max_rows=max_rows).example_arrays()["x"]


def test_a_text_model_whose_padding_counts_is_refused(tmp_path, unchecked):
    with pytest.raises(CheckFailed, match="in a batch of 1: differs from that in a batch of 2"):
        export(tmp_path, texts())
    export(tmp_path, texts(output_sequence_length=4))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int32", (3, 49)),
        ("int32", (0, 1)),
        ("int32", (-5, -5)),
        ("uint64", (2**63, 2**64 - 1)),
        ("int64", (-np.inf, -(2**62))),
        ("float32", (10, 20)),
        ("float32", (-20, -10)),
        ("float32", (0.25, 0.5)),
        ("float16", (-1, np.inf)),
        ("bfloat16", (100, 101)),
        ("float64", (-1e300, -1e299)),
    ],
)
def test_numbers_are_within_their_bound(dtype, values):
    found = made(numbers(dtype), Bound(values))
    assert (found >= values[0]).all()
    assert (found <= values[1]).all()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int32", (0, 1)),
        ("int32", (3, 49)),
        ("float32", (10, 20)),
        ("float32", (1e9, 2e9)),
        ("float16", (2000, 3000)),
        ("bfloat16", (-2e9, 1e9)),
    ],
)
def test_rows_differ_within_a_bound(dtype, values):
    first, second = made(numbers(dtype), Bound(values))
    assert (first != second).any()


@pytest.mark.parametrize("dtype", ["int32", "float32", "string"])
@pytest.mark.parametrize("size", [1, 2, 6, 7])
def test_rows_differ_whatever_their_size(dtype, size):
    first, second = made(numbers(dtype, (size,)))
    assert (first != second).any()


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_a_wide_bound_changes_no_number(dtype):
    np.testing.assert_array_equal(made(numbers(dtype), Bound((-1000, 1000))), made(numbers(dtype)))


def test_indices_of_an_embedding_are_within_it_and_their_bound():
    x = keras.Input((None,), dtype="int32", name="x")
    model = keras.Model(x, keras.layers.Embedding(2, 3)(x))
    assert set(made(model, Bound((0, 9))).ravel()) == {0, 1}


def test_sizes_are_within_the_bounds():
    assert made(numbers("int32", (None, 3)), Bound(max_size=16)).shape == (2, 16, 3)
    assert made(numbers("int32"), max_rows=1).shape == (1, 4)
    assert [max(map(len, made(texts(), Bound(max_bytes=most)))) for most in (1, 2, 3, 99)] == [1, 1, 3, 3]

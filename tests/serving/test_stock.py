import gc
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf

from ikelos.serving import StockError, StockModel, capi
from ikelos.serving.values import DTYPES

# Each dtype with its extremes, as [3, 2]; strings with none, short, long (not kept in place), NUL and not UTF-8.
EXTREMES = {
    "float32": [[0.1, -0.0], [np.inf, np.nan], [np.finfo(np.float32).max, np.finfo(np.float32).tiny]],
    "float64": [[0.1, -0.0], [np.inf, np.nan], [np.finfo(np.float64).max, np.finfo(np.float64).tiny]],
    "int32": [[0, 1], [-1, 2**31 - 1], [-(2**31), 7]],
    "int64": [[0, 1], [-1, 2**63 - 1], [-(2**63), 7]],
    "uint8": [[0, 1], [2, 127], [128, 255]],
    "int16": [[0, 1], [-1, 2**15 - 1], [-(2**15), 7]],
    "int8": [[0, 1], [-1, 127], [-128, 7]],
    "bool": [[True, False], [False, False], [True, True]],
    "bfloat16": [[0.1, -0.0], [np.inf, np.nan], [3.38e38, 1.2e-38]],
    "uint16": [[0, 1], [2, 2**15], [2**16 - 1, 7]],
    "float16": [[0.1, -0.0], [np.inf, np.nan], [65504, 6.1e-5]],
    "uint32": [[0, 1], [2, 2**31], [2**32 - 1, 7]],
    "uint64": [[0, 1], [2, 2**63], [2**64 - 1, 7]],
    "string": [["", "é"], ["a\0b", b"\xff\xfe"], ["x" * 22, "y" * 1000]],
}


@pytest.fixture(scope="module")
def model(version):
    with StockModel(version) as model:
        yield model


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """Yields a model of two signatures: `same` returns every dtype, `checked` fails on negative numbers."""
    path = tmp_path_factory.mktemp("typed")
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 2], dtype, name=dtype) for dtype in DTYPES])
    def same(*values):
        return {f"same_{dtype}": tf.identity(value) for dtype, value in zip(DTYPES, values, strict=True)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.int32, name="n"), tf.TensorSpec([None], tf.complex64)])
    def checked(n, unused):
        tf.debugging.assert_non_negative(n, message="n is negative")
        return {"n": n, "c": tf.cast(n, tf.complex64)}

    signatures = {"same": same, "checked": checked.get_concrete_function()}
    tf.saved_model.save(module, str(path), signatures=signatures)
    with StockModel(path) as model:
        yield model


@pytest.mark.parametrize("name", ["[red] a", "back\\slash", "a*b?", "[!a]", "é ,:"])
def test_the_folder_may_have_a_name_that_tensorflow_takes_for_a_pattern(version, tmp_path, name):
    (tmp_path / name).symlink_to(version)
    with StockModel(tmp_path / name) as model:
        assert model.run("serving_default", {"words": ["to"]})["scores"].shape == (1, 3)


def test_inputs_and_outputs_are_in_the_order_of_their_names(typed, model):
    assert list(model.signatures["shout"]["outputs"]) == ["length", "text"]
    assert list(model.run("shout", {"text": ["a"], "times": [1]})) == ["length", "text"]
    for sides in typed.signatures.values():
        for side in sides.values():
            assert list(side) == sorted(side)


def test_signatures(model):
    assert model.signatures == {
        "serving_default": {
            "inputs": {"words": ("string", (None,))},
            "outputs": {"scores": ("float32", (None, 3))},
        },
        "tokens": {
            "inputs": {"text": ("string", (None,))},
            "outputs": {"tokens": ("string", (None, None))},
        },
        "shout": {
            "inputs": {"text": ("string", (None,)), "times": ("int32", (None,))},
            "outputs": {"text": ("string", (None,)), "length": ("int32", (None,))},
        },
    }


def test_keras_model(model, keras_model):
    outputs = model.run("serving_default", {"words": ["not", "be", "unheard of"]})
    expected = keras_model(tf.constant(["not", "be", "unheard of"])).numpy()
    np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-6)


def test_an_op_of_tensorflow_text(model):
    outputs = model.run("tokens", {"text": ["To be, or", "", " not  to be "]})
    assert outputs["tokens"].tolist() == [[b"To", b"be,", b"or"], [b"", b"", b""], [b"not", b"to", b"be"]]


def test_strings_and_numbers(model):
    outputs = model.run("shout", {"text": ["a", b"bc"], "times": np.array([3, -4], np.int32)})
    assert outputs["text"].tolist() == [b"A!3", b"BC!-4"]
    assert outputs["length"].tolist() == [3, 5]
    assert outputs["length"].dtype == np.int32


def test_an_empty_batch(model):
    outputs = model.run("shout", {"text": [], "times": []})
    assert outputs["text"].shape == outputs["length"].shape == (0,)
    assert model.run("serving_default", {"words": []})["scores"].shape == (0, 3)


def test_every_dtype_comes_back_bit_for_bit(typed):
    outputs = typed.run("same", EXTREMES)
    for dtype, (_, numpy_dtype) in DTYPES.items():
        output = outputs[f"same_{dtype}"]
        assert output.dtype == numpy_dtype
        if dtype == "string":
            assert output.tolist() == [[b"", "é".encode()], [b"a\0b", b"\xff\xfe"], [b"x" * 22, b"y" * 1000]]
        else:
            assert output.tobytes() == np.array(EXTREMES[dtype], numpy_dtype).tobytes()


def test_a_slice_of_an_array(typed):
    inputs = {dtype: np.zeros((1, 2), kind) for dtype, (_, kind) in DTYPES.items() if dtype != "string"}
    inputs |= {"string": np.array([["a", "b"]]), "float32": np.arange(8, dtype=np.float32).reshape(2, 4).T[2:3]}
    assert typed.run("same", inputs)["same_float32"].tolist() == [[2, 6]]


def test_strings_are_freed(typed):
    inputs = {dtype: [] if dtype == "string" else np.zeros((0, 2), kind) for dtype, (_, kind) in DTYPES.items()}
    inputs = {name: np.zeros((0, 2), DTYPES[name][1]) for name in inputs} | {"string": [["x" * 2**20] * 2]}
    typed.run("same", inputs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):
        typed.run("same", inputs)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # of 200 MB, in kB
    assert capi._in_use == {}


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        (
            "absent",
            {},
            r"`signature` must be one of \['serving_default', 'shout', 'tokens'\]. Received: signature='absent'",
        ),
        ("shout", {"text": ["a"]}, r"'shout' must get the inputs \['text', 'times'\]. Received: \['text'\]"),
        ("tokens", {"text": ["a"], "x": [1]}, r"must get the inputs \['text'\]. Received: \['text', 'x'\]"),
        ("shout", {"text": ["a"], "times": [0.5]}, "'shout': input 'times' must hold int32"),
        ("shout", {"text": ["a"], "times": np.array([1])}, "input 'times' must have dtype int32.*int64"),
        ("shout", {"text": [1], "times": [1]}, "input 'text' must hold str or bytes"),
        ("shout", {"text": [["a"]], "times": [1]}, r"input 'text' must have shape \(any,\).*\(1, 1\)"),
        ("shout", {"text": "a", "times": [1]}, r"input 'text' must have shape \(any,\).*\(\)"),
    ],
)
def test_bad_input(model, signature, inputs, message):
    with pytest.raises(ValueError, match=message):
        model.run(signature, inputs)


def test_tensorflows_own_errors(model, typed):
    with pytest.raises(StockError, match="`times` must have as many rows as `text`"):
        model.run("shout", {"text": ["a", "b", "c"], "times": [1, 2]})
    with pytest.raises(
        StockError, match=r"input 'unused' must have one of the dtypes float32, .*Received: DT_COMPLEX64"
    ):
        typed.run("checked", {"n": 1, "unused": [1]})
    model.run("tokens", {"text": ["still alive"]})


def test_errors_have_the_code_of_tensorflow(model):
    with pytest.raises(StockError) as raised:
        model.run("shout", {"text": ["a", "b"], "times": [1, 2, 3]})
    assert raised.value.code == 3  # an invalid argument


def test_a_run_ends_at_its_time_limit(tmp_path):
    class Endless(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def run(self, x):
            while tf.reduce_all(x >= 0):
                x = tf.sin(x) + 1.0
            return {"x": x}

    module = Endless()
    tf.saved_model.save(module, str(tmp_path), signatures={"endless": module.run})
    with StockModel(tmp_path) as endless:
        assert endless.run("endless", {"x": [-1.0]}, timeout=60)["x"].tolist() == [-1]
        with pytest.raises(StockError) as raised:
            endless.run("endless", {"x": [1.0]}, timeout=0.1)
        assert raised.value.code == 4  # the deadline


def test_inputs_are_checked_without_a_run(model):
    arrays = model.check("shout", {"text": ["é"], "times": [2]})
    assert (arrays["text"].tolist(), arrays["times"].dtype) == (["é".encode()], np.int32)
    with pytest.raises(ValueError, match="input 'times' must hold int32"):
        model.check("shout", {"text": ["é"], "times": ["2"]})


def test_unreadable_models(version, tmp_path):
    with pytest.raises(StockError, match=f"{tmp_path}.* must be the folder of a SavedModel"):
        StockModel(tmp_path)
    broken = shutil.copytree(version, tmp_path / "broken")
    shutil.rmtree(broken / "assets.extra")  # as another program exports it
    (broken / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(StockError, match="Read less bytes than requested"):
        StockModel(broken)


def test_a_closed_model(version):
    model = StockModel(version)
    model.close()
    model.close()
    with pytest.raises(StockError, match="has been closed"):
        model.run("tokens", {"text": ["a"]})
    del model
    gc.collect()

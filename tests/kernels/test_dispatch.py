"""The choice of the implementation, and libraries for another TensorFlow."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ikelos import kernels
from ikelos.kernels import dispatch

CACHED = (dispatch._load, dispatch._warn_once)


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    monkeypatch.delenv("IKELOS_KERNELS", raising=False)
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def foreign_library(monkeypatch, tmp_path):
    """Installs a file, recorded as built for another TensorFlow; opening it as a library would fail."""
    path = tmp_path / dispatch.LIBRARY_NAME
    path.write_bytes(b"no library")
    path.with_suffix(".json").write_text(json.dumps(dispatch._running_tensorflow() | {"version": "2.20.0"}))
    monkeypatch.setattr(dispatch, "_find_library", lambda: path)
    return path


def rms_norm(dtype=tf.float32, **arguments):
    return kernels.rms_norm(tf.ones([2, 5], dtype), tf.ones([5], dtype), **arguments)


def test_explain_native():
    assert str(kernels.explain("rms_norm")) == (
        f"native: {kernels.status()['isa']} kernels built for TensorFlow {tf.__version__}"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"dtype": "float64"}, "reference: the native kernel takes float32 and bfloat16, not float64"),
        ({"shape": ()}, "reference: the native kernel takes tensors with at least one axis, not scalars"),
        ({"device": "/device:GPU:1"}, "reference: the native kernels run on CPU, not on GPU"),
        ({"implementation": "reference"}, "reference: requested by the argument implementation"),
        ({"op_name": "juggle"}, "reference: no native kernel for this op"),
        (
            {"op_name": "gru", "dtype": "float64"},
            "reference: the native kernel takes float32, bfloat16 and float16, not float64",
        ),
    ],
)
def test_explain_reference(arguments, text):
    assert str(kernels.explain(**{"op_name": "rms_norm"} | arguments)) == text


def test_a_choice_tells_whether_it_was_requested(monkeypatch):
    assert not kernels.explain("rms_norm").requested
    assert not kernels.explain("rms_norm", "float64").requested
    for implementation in dispatch.IMPLEMENTATIONS:
        assert kernels.explain("rms_norm", implementation=implementation).requested
        with kernels.use(implementation):
            assert kernels.explain("rms_norm").requested
    for implementation in dispatch.IMPLEMENTATIONS:
        monkeypatch.setenv("IKELOS_KERNELS", implementation)
        assert kernels.explain("rms_norm").requested
        # What has no native kernel is not native for the asking.
        assert kernels.explain("juggle").requested == (implementation == "reference")


@pytest.mark.parametrize(
    ("op_name", "message"),
    [
        ("attention", "`sizes` of attention must be among: value_size. Received: valuesize=3"),
        ("rms_norm", "`sizes` of rms_norm must be among: none. Received: valuesize=3"),
    ],
)
def test_explain_knows_its_sizes(op_name, message):
    with pytest.raises(ValueError, match=message):
        kernels.explain(op_name, valuesize=3)


def test_scope():
    assert kernels.explain("rms_norm").implementation == "native"
    with kernels.use("reference"):
        assert str(kernels.explain("rms_norm")) == "reference: requested by the scope kernels.use"
        with kernels.use("native"):
            assert kernels.explain("rms_norm").implementation == "native"
        assert kernels.explain("rms_norm").implementation == "reference"
        assert kernels.explain("rms_norm", implementation="native").implementation == "native"
    assert kernels.explain("rms_norm").implementation == "native"


def test_scope_ends_with_an_exception():
    with pytest.raises(KeyError), kernels.use("reference"):
        raise KeyError
    assert kernels.explain("rms_norm").implementation == "native"


def test_scope_is_of_one_thread():
    seen = []
    with kernels.use("reference"):
        thread = threading.Thread(target=lambda: seen.append(kernels.explain("rms_norm").implementation))
        thread.start()
        thread.join()
    assert seen == ["native"]


def test_scope_decides_when_the_graph_is_traced():
    traced = tf.function(rms_norm)
    with kernels.use("reference"):
        graph = traced.get_concrete_function().graph
    assert "IkelosRmsNorm" not in {op.type for op in graph.get_operations()}


@pytest.mark.parametrize("implementation", ["fast", ""])
def test_implementation_must_be_one_of_two(implementation):
    message = f"`implementation` must be 'native', 'reference' or None. Received: implementation='{implementation}'"
    with pytest.raises(ValueError, match=message):
        rms_norm(implementation=implementation)
    with pytest.raises(ValueError, match=message), kernels.use(implementation):
        pass


def test_native_is_refused_where_there_is_no_kernel():
    message = (
        "`implementation` must be 'reference' for rms_norm: the native kernel takes float32 and bfloat16, not "
        "float16. Received: "
    )
    with pytest.raises(ValueError, match=message + "implementation='native'$"):
        rms_norm(tf.float16, implementation="native")
    with pytest.raises(ValueError, match=message + r"kernels\.use\('native'\)$"), kernels.use("native"):
        rms_norm(tf.float16)
    with pytest.raises(ValueError, match="must be 'reference' for juggle: no native kernel for this op"):
        dispatch.choose("juggle", "native", dtype="float32")


def test_a_library_for_another_tensorflow_is_refused_with_one_warning(foreign_library):
    with pytest.warns(RuntimeWarning, match=r"was built for TensorFlow 2\.20\.0 .*, and this is TensorFlow") as caught:
        results = [rms_norm(), rms_norm()]
    assert len(caught) == 1
    assert float(results[1][0, 0]) == pytest.approx(1)
    status = kernels.status()
    assert (status["loaded"], status["built_for"], status["isa"]) == (False, "2.20.0", None)
    assert str(foreign_library) in status["reason"]


def test_a_library_without_a_record_is_refused(foreign_library):
    foreign_library.with_suffix(".json").unlink()
    with pytest.warns(RuntimeWarning, match="was built for an unknown TensorFlow"):
        assert dispatch.choose("rms_norm", None, dtype="float32") == "reference"


def test_a_library_that_does_not_open_is_refused(foreign_library):
    foreign_library.with_suffix(".json").write_text(json.dumps(dispatch._running_tensorflow()))
    with pytest.warns(RuntimeWarning, match="invalid ELF header|file too short"):
        assert dispatch.choose("rms_norm", None, dtype="float32") == "reference"


def test_a_missing_library_needs_no_warning(monkeypatch):
    monkeypatch.setattr(dispatch, "_find_library", lambda: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rms_norm()
    assert str(kernels.explain("rms_norm")).startswith("reference: this installation has no libikelos.so")
    assert kernels.status()["path"] is None


def test_a_refused_library_is_an_error_if_native_is_requested(foreign_library, monkeypatch):
    message = "The native kernels cannot be loaded: .*2.20.0"
    with pytest.raises(kernels.LibraryError, match=message):
        rms_norm(implementation="native")
    with pytest.raises(kernels.LibraryError, match=message), kernels.use("native"):
        rms_norm()
    monkeypatch.setenv("IKELOS_KERNELS", "native")
    with pytest.raises(kernels.LibraryError, match=message):
        rms_norm()


def test_environment_reference_never_loads_the_library(monkeypatch):
    monkeypatch.setenv("IKELOS_KERNELS", "reference")
    monkeypatch.setattr(dispatch, "_load", lambda: pytest.fail("the library was loaded"))
    rms_norm()
    assert str(kernels.explain("rms_norm")) == "reference: requested by IKELOS_KERNELS=reference"
    assert kernels.status()["reason"] == "IKELOS_KERNELS=reference"
    with pytest.raises(ValueError, match="must be 'reference' for rms_norm: requested by IKELOS_KERNELS=reference"):
        rms_norm(implementation="native")


def test_environment_native_leaves_ops_without_a_kernel_alone(monkeypatch):
    monkeypatch.setenv("IKELOS_KERNELS", "native")
    assert kernels.explain("juggle").implementation == "reference"
    assert kernels.explain("rms_norm", "float64").implementation == "reference"


def test_environment_must_be_one_of_two(monkeypatch):
    monkeypatch.setenv("IKELOS_KERNELS", "fast")
    with pytest.raises(ValueError, match=r"`IKELOS_KERNELS` must be 'native' or 'reference'.*'fast'"):
        rms_norm()


def status_with(isa):
    code = "from ikelos import kernels; print(kernels.status()['isa'])"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, "IKELOS_ISA": isa}, capture_output=True, text=True)


def test_environment_limits_the_instruction_set():
    assert status_with("portable").stdout.strip() == "portable"


def test_environment_must_name_an_instruction_set_of_this_processor():
    message = r"`IKELOS_ISA` must be an instruction set of this processor: portable.*\. Received: IKELOS_ISA='mmx'"
    assert re.search(message, status_with("mmx").stderr)


def test_status_of_a_library_that_fits():
    assert kernels.status() | {"path": None, "isa": None, "cache_bytes": None} == {
        "setting": None,
        "path": None,
        "built_for": tf.__version__,
        "running": tf.__version__,
        "loaded": True,
        "isa": None,
        "cache_bytes": None,
        "reason": None,
    }
    assert kernels.status()["isa"] in ("avx512", "avx2", "portable")
    assert kernels.status()["cache_bytes"] >= 2**17


def test_the_library_is_found_beside_the_sources_too(monkeypatch, tmp_path):
    shutil.copy(dispatch._find_library(), tmp_path)
    monkeypatch.setattr(kernels, "__path__", [str(tmp_path)])
    assert dispatch._find_library() == tmp_path / dispatch.LIBRARY_NAME


IN_A_FRESH_PROCESS = """
import tensorflow as tf
tf.function(lambda x: x + 1, jit_compile=True)(tf.ones([3]))
from ikelos import kernels

@tf.function
def users(x):
    if tf.reduce_sum(x) > 0:
        x = kernels.rms_norm(x, tf.ones([3]))
    assert kernels.explain("rms_norm").implementation
    return x

assert abs(float(users(tf.ones([2, 3]))[1, 2]) - 1) < 1e-5
y = tf.function(lambda x: kernels.rms_norm(x, tf.ones([3]), implementation="native"), jit_compile=True)(tf.ones([2, 3]))
assert abs(float(y[1, 2]) - 1) < 1e-5
"""


def test_the_library_may_be_loaded_after_xla_and_autograph_has_nothing_to_say_of_our_code(tmp_path):
    # In a process of its own: AutoGraph warns of a function only when it first meets it. In a file: it reads source.
    script = tmp_path / "users.py"
    script.write_text(IN_A_FRESH_PROCESS)
    result = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "AutoGraph" not in result.stderr


@tf.function(input_signature=[tf.TensorSpec([None, 5])])
def normalized(x):
    return kernels.rms_norm(x, tf.ones([5]))


class Normalizing(keras.layers.Layer):
    def call(self, x):
        return kernels.rms_norm(x, tf.ones([5]), implementation=self.name if self.name == "native" else None)


def ops_of(folder):
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return {node.op for part in nodes for node in part}


def test_an_export_has_stock_operations_unless_told(tmp_path):
    assert kernels.explain("rms_norm").implementation == "native"
    model = keras.Sequential([keras.Input((5,)), Normalizing()])
    model.predict(np.ones([1, 5]), verbose=0)  # Whatever was traced before.
    model.export(tmp_path / "keras", verbose=False)
    module = tf.Module()
    module.normalized = normalized
    tf.saved_model.save(module, tmp_path / "tensorflow")
    for folder in ("keras", "tensorflow"):
        assert "Rsqrt" in ops_of(tmp_path / folder)
        assert "IkelosRmsNorm" not in ops_of(tmp_path / folder)
    told = keras.Sequential([keras.Input((5,)), Normalizing(name="native")])
    told.export(tmp_path / "told", verbose=False)
    assert "IkelosRmsNorm" in ops_of(tmp_path / "told")
    assert not kernels.explain("rms_norm").requested

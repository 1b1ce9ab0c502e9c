import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode

from ikelos import kernels, layers
from ikelos.serving import (
    CheckFailed,
    ExportError,
    Signature,
    StockModel,
    check,
    export,
    read_card,
    stock_check,
    stored_weights,
)
from ikelos.serving.deploy.releases import check_version
from ikelos.serving.server.versions import Version

native = pytest.mark.skipif(not kernels.status()["loaded"], reason="the package was built without native kernels")
X = {"x": tf.TensorSpec([None, 4], tf.float32)}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((5, 4), name="x"), layers.FusedLSTM(6), keras.layers.Dense(1, name="y")])


@native
def test_a_native_export_needs_the_library_and_says_so(model, tmp_path):
    version, library = export(tmp_path, model, flavour="native"), kernels.status()["path"]
    assert read_card(version)["flavour"] == "native"
    with pytest.raises(ExportError, match=f"{version} has the flavour native.*`ikelos doctor` prints it.*portable"):
        StockModel(version)
    with pytest.raises(CheckFailed, match="has the flavour native"):
        stock_check(version)
    check_version(version)
    for given, code in ((None, StatusCode.UNKNOWN), (library, StatusCode.OK)):
        served = Version("lm", 1, version, given)
        served.load()
        assert served.code is code, served.message
        served.free()
    assert list(stock_check(version, library=library)) == ["serving_default"]
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    code = (
        "import sys, numpy; from ikelos.serving import StockModel; x = numpy.frombuffer(sys.stdin.buffer.read(), 'f')\n"
        "with StockModel(sys.argv[1], sys.argv[2]) as model:\n"
        "    y = model.run('serving_default', {'x': x.reshape(3, 5, 4)})['y']\n"
        "    assert 'tensorflow' not in sys.modules; print(*y.ravel())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, version, library], input=x.tobytes(), capture_output=True, check=True
    )
    np.testing.assert_allclose(list(map(float, found.stdout.split())), model(x).numpy().ravel(), rtol=1e-4, atol=1e-6)


@native
def test_native_ops_read_weights_that_are_stored_in_fewer_bits(model, tmp_path):
    version = export(tmp_path, model, flavour="native", weights="bfloat16")
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    with StockModel(version, kernels.status()["path"]) as served, stored_weights(model, "bfloat16"):
        np.testing.assert_allclose(served.run("serving_default", {"x": x})["y"], model(x), rtol=1e-4, atol=1e-6)


def test_a_portable_export_has_no_op_of_ours(model, tmp_path):
    version = export(tmp_path, model)
    assert read_card(version)["flavour"] == "portable"
    assert b"IkelosLstm" not in (version / "saved_model.pb").read_bytes()


def test_native_without_native_ops_is_refused(tmp_path):
    plain = Signature("f", lambda x: {"y": x}, X, {"x": [[1.0] * 4]}, "A test.")
    with pytest.raises(ValueError, match="`flavour` must be 'portable' for a model without native ops"):
        export(tmp_path, [], [plain], flavour="native")
    with pytest.raises(ValueError, match="`flavour` must be 'portable' or 'native'"):
        export(tmp_path, [], [plain], flavour="xla")


def test_the_library_must_be_of_this_tensorflow(version, tmp_path):
    with pytest.raises(
        check.StockError, match=f"`library` must be the path of a library. Received: library={tmp_path}"
    ):
        StockModel(version, tmp_path / "libikelos.so")
    (tmp_path / "libikelos.so").write_bytes(b"")
    with pytest.raises(check.StockError, match=r"`library` must have a record of its TensorFlow in .*libikelos.json"):
        StockModel(version, tmp_path / "libikelos.so")
    other = tmp_path / "other"
    other.mkdir()
    (other / "libikelos.so").write_bytes(b"")
    (other / "libikelos.json").write_text('{"version": "1.2.3"}')
    with pytest.raises(check.StockError, match=r"`library` must be built for TensorFlow 2.* built for 1.2.3"):
        StockModel(version, other / "libikelos.so")


def test_the_stock_check_refuses_what_must_be_compiled(tmp_path):
    doubled = tf.function(lambda x: {"y": 2 * x}, jit_compile=True, input_signature=[X["x"]])
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=doubled)
    (tmp_path / "assets.extra").mkdir()
    for name in ("examples", "expected"):
        (tmp_path / "assets.extra" / f"ikelos_{name}.json").write_text("{}")
    with pytest.raises(CheckFailed, match=r"A stock server refuses .*: a function has `jit_compile=True`"):
        stock_check(tmp_path)


def test_keras_own_export_of_fused_layers_loads_in_plain_tensorflow(model, tmp_path):
    model.export(tmp_path / "plain", verbose=False)
    # By TensorFlow's C API: to import its Python package takes five times as long.
    load = (
        "import sys, numpy; from ikelos.serving import StockModel; x = numpy.ones([3, 5, 4], 'f')\n"
        "with StockModel(sys.argv[1]) as model: (y,) = model.run('serving_default', {'x': x}).values()\n"
        "assert 'tensorflow' not in sys.modules; print(*y.ravel())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", load, tmp_path / "plain"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = list(map(float, done.stdout.split()))
    np.testing.assert_allclose(found, model(np.ones([3, 5, 4], np.float32)).numpy().ravel(), rtol=1e-4)

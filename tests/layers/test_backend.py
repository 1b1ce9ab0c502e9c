import importlib
import os
import subprocess
import sys

import keras
import pytest

from ikelos.layers import backend


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ImportError, match=r"backend of Keras must be 'tensorflow' .*KERAS_BACKEND.* backend='jax'"):
        importlib.reload(backend)
    monkeypatch.undo()
    importlib.reload(backend)


def test_one_that_is_not_installed_is_refused_as_well():
    """In a process of its own, where Keras itself cannot be imported."""
    code = "import sys; sys.modules['torch'] = None; import ikelos.layers"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "KERAS_BACKEND": "torch"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("Received: backend='torch'")


def test_without_keras_that_is_the_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match="keras"):
        importlib.reload(backend)
    monkeypatch.undo()
    importlib.reload(backend)

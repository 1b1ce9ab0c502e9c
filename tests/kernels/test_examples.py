import doctest
import importlib

import pytest
import tensorflow as tf

from ikelos import kernels


@pytest.mark.parametrize("name", ["attention", "dispatch", "recurrent", "rms_norm", "swiglu"])
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"ikelos.kernels.{name}")
    assert doctest.testmod(module, extraglobs={"kernels": kernels, "tf": tf}).failed == 0


@pytest.mark.parametrize("name", ["attention", "explain", "gru", "lstm", "rms_norm", "swiglu", "use"])
def test_every_function_has_an_example(name):
    assert any(test.examples for test in doctest.DocTestFinder().find(getattr(kernels, name)))

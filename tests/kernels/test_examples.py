import doctest
import importlib
import pkgutil

import pytest
import tensorflow as tf

from ikelos import kernels

MODULES = [module.name for module in pkgutil.walk_packages(kernels.__path__, "ikelos.kernels.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), extraglobs={"kernels": kernels, "tf": tf})
    assert result.failed == 0


@pytest.mark.parametrize("name", ["attention", "explain", "gru", "lstm", "rms_norm", "use"])
def test_every_function_has_an_example(name):
    assert any(test.examples for test in doctest.DocTestFinder().find(getattr(kernels, name)))

import doctest
import importlib

import pytest
import tensorflow as tf

from ikelos import kernels

MODULES = [
    "attention",
    "cached_attention",
    "dense",
    "dispatch",
    "kv_cache",
    "recurrent",
    "rms_norm",
    "rotary",
    "swiglu",
]
FUNCTIONS = [name for name in kernels.__all__ if name.islower() and name != "status"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"ikelos.kernels.{name}")
    names = {"kernels": kernels, "tf": tf, "KVCache": kernels.KVCache}
    results = doctest.testmod(module, extraglobs=names)
    assert (results.failed, results.attempted > 0) == (0, True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example(name):
    assert any(test.examples for test in doctest.DocTestFinder().find(getattr(kernels, name)))

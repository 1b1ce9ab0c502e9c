import doctest
import importlib
import pkgutil

import keras
import pytest

from ikelos import layers

MODULES = [module.name for module in pkgutil.walk_packages(layers.__path__, "ikelos.layers.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), extraglobs={"keras": keras})
    assert result.failed == 0


def test_every_layer_has_an_example():
    examples = {name: doctest.DocTestFinder().find(getattr(layers, name)) for name in layers.__all__}
    assert [name for name, found in examples.items() if not any(test.examples for test in found)] == []

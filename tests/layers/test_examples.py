import doctest
import importlib
import pkgutil
import subprocess
import sys

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


def test_layers_import_no_more_than_keras_and_what_is_ours():
    code = (
        "import sys, keras, tensorflow; before = set(sys.modules); import ikelos.layers, ikelos.layers.decoding;"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    new = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(new) <= {"ikelos"} | set(sys.stdlib_module_names)

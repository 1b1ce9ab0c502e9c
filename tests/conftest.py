import sys

import pytest


@pytest.fixture(autouse=True)
def _leaves_determinism_as_it_was():
    """A deterministic run sets TensorFlow's switch for the whole process, and later tests may need what it forbids."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        if config.is_op_determinism_enabled():
            config.disable_op_determinism()

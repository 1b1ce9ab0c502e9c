import sys

import hypothesis
import pytest

# A slow machine fails no test, and every run takes the same examples.
hypothesis.settings.register_profile("ikelos", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ikelos")


@pytest.fixture(autouse=True)
def _leaves_determinism_as_it_was():
    """A deterministic run sets TensorFlow's switch for the whole process, and later tests may need what it forbids."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        if config.is_op_determinism_enabled():
            config.disable_op_determinism()

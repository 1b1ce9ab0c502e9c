import collections
import gc
import itertools
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


@pytest.fixture
def _eager():
    """Runs functions without graphs: a model that makes a few steps takes longer to trace than to run."""
    from tensorflow import config

    config.run_functions_eagerly(True)
    yield
    config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def export_unchecked():
    """Exports as `serving.export` does, but runs no example: for tests that load and run the version themselves."""
    from ikelos import serving

    def write(base_path, model, signatures):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ikelos.serving.check.stock_check", lambda *_, **__: {})
            patch.setattr(sys.modules[serving.export.__module__], "run_example", lambda *_: {})
            return serving.export(base_path, model, signatures)

    return write


def pytest_collection_finish():
    """Makes the garbage collector look only at objects that tests create, and less often.

    Otherwise it would go through the million objects of TensorFlow and Keras again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pairwise(rows):
    """The places of a few rows, dicts of values by name, that together have every pair of values that any row has.

    Most faults need one value or two together to show (Kuhn, Wallace and Gallo 2004).
    """
    pairs = [set(itertools.combinations(sorted(row.items()), min(2, len(row)))) for row in rows]
    missing, chosen = set().union(*pairs), []
    while missing:
        best = max(range(len(rows)), key=lambda place: len(pairs[place] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return chosen


# First, so that what is slow is known before `-m "not slow"` asks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of a test marked `pairwise`, few of its cases are fast: every two values of its parameters are together in one of
    them. All others are slow.

    For cases that a generator draws the mark has a function, which is given the parameters and returns what a case
    has, values by name.
    """
    tests = collections.defaultdict(list)
    for item in items:
        if item.get_closest_marker("pairwise"):
            tests[item.parent, item.originalname].append(item)
    for cases in tests.values():
        features = cases[0].get_closest_marker("pairwise").kwargs.get("features")
        parameters = [case.callspec.params for case in cases]
        rows = [features(**x) if features else {name: id(value) for name, value in x.items()} for x in parameters]
        fast = set(pairwise(rows))
        for place, case in enumerate(cases):
            if place not in fast:
                case.add_marker(pytest.mark.slow)

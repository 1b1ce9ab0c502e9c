"""A pytest plugin that writes which lines of the repository each test file reaches, as JSON into the folder
`IKELOS_REACH`: {test file: {source file: [lines]}}, one file a process. What child processes run is not seen.

Python tells of a line once and is told again at the next test file to do so, which costs next to nothing.
"""

import collections
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
ROOMS = tuple(f"{ROOT / room}{os.sep}" for room in ("kernels", "layers", "serving", "pipelines"))
EVENTS = sys.monitoring.events

reached = collections.defaultdict(lambda: collections.defaultdict(set))
current = None  # the test file


def _path(code):
    """In the repository, without the links of src/; None for code of others."""
    path = code.co_filename
    if path.startswith(str(ROOT)):
        path = os.path.realpath(path)
        return os.path.relpath(path, ROOT) if path.startswith(ROOMS) else None
    return None


def _function_starts(code, _):
    if _path(code):
        sys.monitoring.set_local_events(sys.monitoring.COVERAGE_ID, code, EVENTS.LINE)
    return sys.monitoring.DISABLE


def _line_runs(code, line):
    reached[current][_path(code)].add(line)
    return sys.monitoring.DISABLE


def _goes_on_with(test_file):
    global current
    if test_file != current:
        current = test_file
        sys.monitoring.restart_events()


def pytest_configure():
    monitoring = sys.monitoring
    monitoring.use_tool_id(monitoring.COVERAGE_ID, "reach")
    monitoring.register_callback(monitoring.COVERAGE_ID, EVENTS.PY_START, _function_starts)
    monitoring.register_callback(monitoring.COVERAGE_ID, EVENTS.LINE, _line_runs)
    monitoring.set_events(monitoring.COVERAGE_ID, EVENTS.PY_START)


def pytest_collectstart(collector):
    if collector.nodeid.endswith(".py"):
        _goes_on_with(collector.nodeid)


def pytest_runtest_protocol(item):
    _goes_on_with(item.nodeid.partition("::")[0])


def pytest_unconfigure():
    found = {
        test_file: {path: sorted(lines) for path, lines in sorted(by_path.items())}
        for test_file, by_path in reached.items()
        if test_file
    }
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    pathlib.Path(os.environ["IKELOS_REACH"], f"{worker}.json").write_text(json.dumps(found))

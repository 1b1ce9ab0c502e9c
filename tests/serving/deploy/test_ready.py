import re
import subprocess

import pytest


@pytest.fixture
def ready(folder, server):
    """Returns a function that runs `ready.sh` against the server, and returns whether it succeeds."""
    with server.listening() as address:
        script = (folder / "config" / "ready.sh").read_text()
        script = re.sub(r"/dev/tcp/127.0.0.1/\d+", f"/dev/tcp/{address.replace(':', '/')}", script)

        def run(*arguments):
            return subprocess.run(["bash", "-c", script, "ready.sh", *arguments], capture_output=True).returncode == 0

        yield run


def test_a_server_is_ready_when_each_model_has_a_version(ready, server):
    server.look = lambda: None
    server.states = {("lm", 1): "AVAILABLE", ("v.2", 1): "LOADING"}
    assert not ready()
    server.states["v.2", 1] = "AVAILABLE"
    assert ready()
    assert ready("started")


def test_another_version_that_loads_matters_at_the_start_alone(ready, server):
    server.look = lambda: None
    server.states = {("lm", 1): "AVAILABLE", ("lm", 2): "LOADING", ("v.2", 1): "AVAILABLE", ("v.2", 0): "END"}
    assert ready()
    assert not ready("started")


def test_a_server_without_a_model_is_not_ready(ready, server):
    server.look = lambda: None
    server.states = {("lm", 1): "AVAILABLE"}
    assert not ready()


def test_a_server_that_does_not_answer_is_not_ready(folder):
    script = (folder / "config" / "ready.sh").read_text().replace("/8501", "/1")
    assert subprocess.run(["bash", "-c", script], capture_output=True).returncode != 0


@pytest.mark.parametrize("state", ["LOADING", "END"])
def test_a_server_starts_only_with_the_versions_of_its_labels(ready, server, state):
    server.look = lambda: None
    server.states = {("lm", 1): "AVAILABLE", ("lm", 2): state, ("v.2", 1): "AVAILABLE"}
    server.labels = {("lm", "stable"): 1, ("lm", "canary"): 2}
    assert not ready("started")
    assert ready()
    server.states["lm", 2] = "AVAILABLE"
    assert ready("started")

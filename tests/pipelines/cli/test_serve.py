import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import tensorflow as tf
from tests.serving.waiting import until

from ikelos.pipelines.cli.serve import serve
from ikelos.serving.server import Settings


class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x):
        return {"y": x / 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="pattern")])
    def wait(self, pattern):
        """Runs until there is a file."""
        found = tf.io.matching_files(pattern)
        while tf.size(found) == 0:
            found = tf.io.matching_files(pattern)
        return {"found": found}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns the folder of a run with an export."""
    folder = tmp_path_factory.mktemp("runs") / "halves"
    model = Model()
    signatures = {"serving_default": model.half, "wait": model.wait}
    tf.saved_model.save(model, str(folder / "export" / "3"), signatures=signatures)
    return folder


@pytest.fixture
def start(run):
    """Returns a function that starts `ikelos serve` and returns the process and the URL of its ready line."""
    processes = []

    def started(*arguments):
        script = "import sys; from ikelos.pipelines.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", script, "serve", str(run), "--rest-port", "0", "--grpc-port", "0", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        line = process.stdout.readline()
        found = re.fullmatch(
            r"Serving halves 3 at (http://localhost:\d+/) \(gRPC: port \d+\)\. Ctrl-C ends the server\.\n", line
        )
        if not found:
            process.kill()  # or its standard error might not end
        assert found, f"{line}{process.stderr.read()}"
        return process, found[1]

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def post(url, body):
    with urllib.request.urlopen(f"{url}v1/models/halves:predict", json.dumps(body).encode(), timeout=60) as answer:
        return json.loads(answer.read())


def is_refused(port):
    try:
        socket.create_connection(("localhost", port), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def test_one_line_says_where_the_page_is(start):
    process, url = start()
    with urllib.request.urlopen(url, timeout=60) as page:
        assert b"<title>Ikelos</title>" in page.read()
    assert post(url, {"instances": [3]}) == {"predictions": [1.5]}
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.sub(r"\d+\.\d s", "0.1 s", errors).splitlines() == [
        "halves: version 3 is loaded (0.1 s) and warms up: its first answers are slow",
        "halves: version 3 has warmed up (0.1 s with loading)",
        "halves: version 3 is unloaded",
    ]


def test_a_signal_lets_running_requests_finish(start, tmp_path):
    process, url = start()
    body = json.dumps({"signature_name": "wait", "inputs": [str(tmp_path / "file")]}).encode()
    request = f"POST /v1/models/halves:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    port = int(url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("localhost", port)) as connection:
        connection.sendall(request.encode() + body)
        metric = b"ikelos:serving:requests_in_flight 1.0"
        until(lambda: metric in urllib.request.urlopen(f"{url}monitoring/prometheus/metrics", timeout=60).read())
        process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(port))
        time.sleep(0.5)  # in which a server that does not wait would end the request
        (tmp_path / "file").touch()
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"outputs" in answer
    assert process.wait(60) == 0
    assert is_refused(port)


def test_a_killed_server_leaves_nothing_that_stops_the_next(start, run):
    before = sorted(os.walk(run))
    for attempt in range(3):
        process, url = start()
        port = url.rstrip("/").rpartition(":")[2]
        process.kill()
        process.wait()
        assert sorted(os.walk(run)) == before
        try:
            _, again = start("--rest-port", port)
            break
        except AssertionError as error:
            # Another process may have been given the port meanwhile, but not each time.
            if attempt == 2 or "in use" not in str(error):
                raise
    assert again == url


def test_other_machines_are_let_in_with_a_warning(start):
    process, url = start("--host", "0.0.0.0")
    assert post(url, {"instances": [3]}) == {"predictions": [1.5]}
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert errors.startswith(
        "Warning: whoever reaches 0.0.0.0 can use the models, because the server has no authentication.\n"
    )


def test_a_taken_port_is_one_line(ikelos_process, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option, other in [("--rest-port", "--grpc-port"), ("--grpc-port", "--rest-port")]:
            result = ikelos_process("serve", run, option, port, other, 0)
            assert (result.status, result.out) == (2, "")
            assert re.fullmatch(
                rf"Error: cannot listen on port {port} of 127\.0\.0\.1 \(.*in use\): choose another with {option}, "
                r"0 for any free one\n",
                result.err,
            )


def test_wrong_arguments_are_one_line(ikelos_process, run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "1").mkdir(parents=True)
    for arguments, message in [
        (["missing"], "PATH must be a folder. Received: missing, which is not a folder"),
        ([tmp_path / "empty"], f"PATH must hold a model, .*Received: {tmp_path}/empty, without a version"),
        ([run / "export" / "3"], f"PATH must be {run}/export, the folder of the versions"),
        ([tmp_path / "broken"], f"{tmp_path}/broken/1 must be the folder of a SavedModel. Received: an empty folder"),
        ([run, "--label", "stable"], "--label must be LABEL=VERSION or MODEL:LABEL=VERSION. Received: --label stable"),
        ([run, "--label", "a:b=1"], "--label must name one of the models halves. Received: --label a:b=1"),
        ([run, "--host", "256.0.0.1"], "cannot listen on port 0 of 256.0.0.1"),
        ([run, "--max-batch", "0"], ".*--max-batch"),
    ]:
        result = ikelos_process("serve", *arguments, "--rest-port", "0", "--grpc-port", "0")
        assert (result.status, result.out) == (2, "")
        lines = [line for line in result.err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert re.match(f"Error: {message}", lines[0]), lines


def test_the_defaults_are_those_of_the_server():
    defaults = {name: parameter.default for name, parameter in inspect.signature(serve).parameters.items()}
    settings = Settings(path=None)
    for name in ("host", "rest_port", "grpc_port", "poll", "max_batch", "max_rows", "max_requests", "timeout"):
        assert defaults[name] == getattr(settings, name), name
    assert defaults["batch_delay"] == 1000 * settings.batch_delay
    assert defaults["max_mb"] * 2**20 == settings.max_bytes

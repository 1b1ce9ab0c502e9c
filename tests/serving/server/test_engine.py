import contextlib
import itertools
import os
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from tests.serving.waiting import until

from ikelos.serving.client import Client, ResourceExhausted, Retry
from ikelos.serving.protocol import messages
from ikelos.serving.stock import StockModel

SLOW = {"signature_name": "slow", "inputs": [2**31 - 1]}
PATH = "/v1/models/plain:predict"


def in_flight(server, number):
    return f"requests_in_flight {number}.0" in server.http.get("/monitoring/prometheus/metrics").text


def is_refused(url):
    try:
        with socket.create_connection((url.host, url.port), timeout=60):
            return False
    except ConnectionRefusedError:
        return True


@pytest.fixture
def base(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "plain" / "1")
    return tmp_path / "plain"


@pytest.fixture
def hold(monkeypatch):
    """Returns a function that takes a condition; from then on, no run of a model begins before the condition holds."""
    run = StockModel.run

    def replace(condition):
        def held(*arguments):
            until(condition)
            return run(*arguments)

        monkeypatch.setattr(StockModel, "run", held)

    return replace


def test_the_servers_time_limit(serving, base):
    with serving(base, concurrency=1, timeout=0.2) as server, ThreadPoolExecutor(2) as threads:
        # One runs, and the other waits for its thread.
        for response in threads.map(lambda _: server.http.post(PATH, json=SLOW), range(2)):
            assert response.status_code == 504
            # The engine's words or TensorFlow's: both look at the clock, and either may be first.
            assert "the deadline of the request has passed" in response.json()["error"]
        # The thread is free again. A busy machine may not answer the first request of a signature within 0.2 s.
        until(lambda: server.http.post(PATH, json={"inputs": [2]}).json() == {"outputs": [4.0]})


def test_requests_beyond_the_most_are_refused_and_may_be_tried_again(serving, base, hold):
    end = threading.Event()
    hold(end.is_set)
    with (
        serving(base, max_requests=2, concurrency=1) as server,
        ThreadPoolExecutor(2) as threads,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(end.set)
        waiting = [threads.submit(server.http.post, PATH, json={"inputs": [2]}) for _ in range(2)]
        until(lambda: in_flight(server, 2))
        response = server.http.post(PATH, json={"inputs": [2]})
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert response.json() == {"error": "The server has 2 requests, its maximum: try again later"}
        with Client(f"localhost:{server.grpc_port}", "plain", retry=Retry(tries=1)) as client:
            assert client.status()[0].state == "AVAILABLE"  # it takes no model's time
            with pytest.raises(ResourceExhausted, match="its maximum") as raised:
                client.predict({"x": [2.0]})
            assert raised.value.retryable
        end.set()
        assert [future.result().status_code for future in waiting] == [200, 200]
        assert server.http.post(PATH, json={"inputs": [2]}).json() == {"outputs": [4.0]}


def test_versions_are_switched_under_load_without_a_failed_request(serving, base, plain):
    answers, stop = [], threading.Event()

    def load(server):
        with httpx.Client(base_url=server.http.base_url, timeout=60) as http:
            for number in itertools.count():
                if stop.is_set():
                    return
                text = f"{threading.get_ident()}-"
                body = {"signature_name": "checked", "inputs": {"text": [text], "n": [number]}}
                response = http.post(PATH, json=body)
                answers.append(
                    response.status_code == 200 and response.json()["outputs"]["text"] == [f"{text}{number}"]
                )

    def versions(server):
        found = server.http.get("/v1/models/plain").json()["model_version_status"]
        return {int(version["version"]): version["state"] for version in found}

    with serving(base, poll=0.02, max_batch=8) as server, ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(load, server) for _ in range(4)]
        with contextlib.ExitStack() as end:
            end.callback(stop.set)
            for number in (2, 3, 4):
                shutil.copytree(plain, base / ".incoming")
                os.rename(base / ".incoming", base / str(number))
                expected = dict.fromkeys(range(1, number), "END") | {number: "AVAILABLE"}
                until(lambda expected=expected: versions(server) == expected)
                enough = len(answers) + 20
                until(lambda enough=enough: len(answers) >= enough)
        for future in futures:
            future.result()
    assert all(answers)


def test_a_running_request_is_finished_when_the_server_stops(serving, base, hold):
    def is_stopping():
        if not is_refused(url):
            return False
        time.sleep(0.5)  # in which a server that does not wait would end the request
        return True

    with ThreadPoolExecutor(1) as threads:
        with serving(base) as server:
            hold(is_stopping)
            url = server.http.base_url.join(PATH)
            future = threads.submit(httpx.post, url, json={"inputs": [2]}, timeout=60)
            until(lambda: in_flight(server, 1))
        assert future.result().json() == {"outputs": [4.0]}
        assert is_refused(url)


def test_labels_and_versions_are_chosen_by_path_and_message(serving, base, plain):
    shutil.copytree(plain, base / "2")
    with serving(base, labels={"plain": {"stable": 1}}) as server:
        for path in ("versions/1", "labels/stable", "versions/2"):
            response = server.http.post(f"/v1/models/plain/{path}:predict", json={"inputs": [2]})
            assert response.json() == {"outputs": [4.0]}
        found = server.http.get("/v1/models/plain/labels/stable/metadata").json()
        assert found["model_spec"]["version"] == "1"
        request = messages.PredictRequest(model_spec={"name": "plain", "version_label": "stable"})
        request.inputs["x"].dtype, request.inputs["x"].float_val[:] = 1, [2.0]
        request.inputs["x"].tensor_shape.dim.add(size=1)
        assert server.call("Predict", request).model_spec.version.value == 1
        request.model_spec.version_label = "beta"
        with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: beta"):
            server.call("Predict", request)


def test_merged_requests_of_many_clients_get_their_own_answers(serving, base):
    def ask(number):
        body = {"signature_name": "checked", "inputs": {"text": [f"é{number}:"], "n": [number]}}
        return server.http.post(PATH, json=body).json()["outputs"]

    # Each client has a thread, so that the clients fill a batch together: none waits for the delay to end.
    with serving(base, max_batch=16, batch_delay=30) as server, ThreadPoolExecutor(16) as threads:
        found = list(threads.map(ask, range(32)))
    assert [answer["text"] for answer in found] == [[f"é{number}:{number}"] for number in range(32)]
    assert [answer["rows"] for answer in found] == [[16]] * 32

import socket
import threading

import pytest

from ikelos.serving.deploy import RunningServer


@pytest.fixture
def running(server):
    """Returns the server as seen at its address; it no longer follows its folder."""
    server.look = lambda: None
    with server.listening() as address:
        yield RunningServer(address)


def test_the_states_of_all_versions_are_told(running, server):
    server.states = {("lm", 1): "AVAILABLE", ("lm", 20): "LOADING", ("other", 3): "END"}
    assert running.states("lm") == {1: "AVAILABLE", 20: "LOADING"}
    assert running.states("nobody") == {}


def test_a_failed_version_is_told_with_its_reason(running, server):
    status = {"error_code": "NOT_FOUND", "error_message": "Op type not registered"}
    answer = {"model_version_status": [{"version": "1", "state": "END", "status": status}]}
    server.answer = lambda path: (200, answer)
    assert running.states("lm") == {1: "END: Op type not registered"}


def test_a_label_leads_to_a_version_that_answers(running, server):
    server.states = {("lm", 1): "AVAILABLE", ("lm", 2): "LOADING"}
    server.labels = {("lm", "stable"): 1, ("lm", "canary"): 2}
    assert running.labelled("lm", "stable") == 1
    assert running.labelled("lm", "canary") is None
    assert running.labelled("lm", "nobody") is None
    assert running.labelled("nobody", "stable") is None


@pytest.mark.parametrize(("status", "body"), [(500, {"error": "x"}), (200, {"hello": 1}), (503, {})])
def test_another_server_is_an_error(running, server, status, body):
    server.answer = lambda path: (status, body)
    with pytest.raises(ConnectionError, match=f"{running.address}"):
        running.states("lm")


def test_a_port_that_does_not_speak_http_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with listener.accept()[0] as connection:
                connection.recv(2**16)
                connection.sendall(b"\0\0\x12\x04\0\0\0\0\0")  # as gRPC begins

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"no TensorFlow Serving answers at {address}"):
            RunningServer(address).states("lm")
        thread.join()

"""Every test runs with the four clients: gRPC and REST, blocking and for asyncio."""

import asyncio
import concurrent.futures
import socket
import threading
import types

import numpy as np
import pytest
from tests.serving.waiting import until

from ikelos.serving.client import (
    TLS,
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServerError,
    Unavailable,
    Unimplemented,
    VersionStatus,
    core,
    save,
    transport,
)

PNG = b"\x89PNG\r\n\x1a\n\xff\x00"


def test_inputs_get_the_dtypes_of_the_signature(client, model):
    assert client.predict({"x": [1, 2.5]})["y"].tolist() == [2.5, 3.25]
    outputs = client.predict({"text": ["To be", b"\xc3\xa9"], "image_bytes": [PNG, b""], "length": [80, -1]}, "echo")
    assert outputs["text"].tolist() == [b"To be", "é".encode()]
    assert outputs["image_bytes"].tolist() == [PNG, b""]
    assert outputs["length"].dtype == np.int32
    assert outputs["length"].tolist() == [80, -1]
    assert list(outputs) == ["image_bytes", "length", "text"]


def test_floats_survive_bit_for_bit(client):
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 0.1, 3.4028235e38, 1e-45], np.float32)
    expected = values * np.float32(0.5) + np.float32(2)
    assert client.predict({"x": values})["y"].tobytes() == expected.tobytes()
    empty = client.predict({"x": []})["y"]
    assert (empty.shape, empty.dtype) == ((0,), np.float32)


def test_metadata_are_fetched_once(client, model):
    for _ in range(3):
        client.predict({"x": [1]})
    assert model.calls == ["GetModelMetadata", "Predict", "Predict", "Predict"]
    assert client.metadata()["serving_default"] == {
        "inputs": {"x": ("float32", (None,))},
        "outputs": {"y": ("float32", (None,))},
    }
    assert model.calls[4:] == ["GetModelMetadata"]


@pytest.mark.parametrize(
    ("inputs", "signature", "message"),
    [
        ({"x": [1]}, "absent", r"`signature` must be one of \['decode_step', .*\]. Received: signature='absent'"),
        ({"y": [1]}, "serving_default", r"must get the inputs \['x'\]. Received: \['y'\]"),
        ({"x": ["a"]}, "serving_default", "input 'x' must hold float32 values"),
        ({"x": np.zeros(2)}, "serving_default", "input 'x' must have dtype float32. Received: dtype float64"),
        ({"x": [[1]]}, "serving_default", r"input 'x' must have shape \(any,\)"),
    ],
)
def test_wrong_inputs_are_refused_before_they_are_sent(client, model, inputs, signature, message):
    with pytest.raises(InvalidArgument, match=message) as raised:
        client.predict(inputs, signature)
    assert raised.value.code == "INVALID_ARGUMENT"
    assert isinstance(raised.value, ValueError)
    assert model.requests == []


def test_files_go_in_and_out(client, model, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    others = {"text": ["picture.png", "b", "c"], "length": [1, 2, 3]}
    outputs = client.predict({"image_bytes": [path, str(path), b"RIFFx"], **others}, "echo")
    assert model.requests[0]["image_bytes"].tolist() == [PNG, PNG, b"RIFFx"]
    assert model.requests[0]["text"].tolist() == [b"picture.png", b"b", b"c"]
    paths = save(tmp_path / "out", outputs)
    assert {key: path.name for key, path in paths.items()} == {
        ("image_bytes", 0): "image-1.png",
        ("image_bytes", 1): "image-2.png",
        ("image_bytes", 2): "image-3.wav",
    }
    assert paths["image_bytes", 0].read_bytes() == PNG
    with pytest.raises(FileNotFoundError):
        client.predict({"image_bytes": [tmp_path / "absent"], "text": ["a"], "length": [1]}, "echo")


def test_status(client, model):
    model.states[3] = ("END", "NOT_FOUND", "no such file")
    assert client.status() == [
        VersionStatus(3, "END", "NOT_FOUND", "no such file"),
        VersionStatus(2, "AVAILABLE", "OK", ""),
        VersionStatus(1, "END", "OK", ""),
    ]


def test_a_version_or_a_label_is_chosen(make, model):
    assert [status.version for status in make(version=1).status()] == [1]
    assert [status.version for status in make(label="stable").status()] == [2, 1]  # as TensorFlow Serving does
    assert make(label="stable").predict({"x": [0]})["y"].tolist() == [2]
    assert model.versions == [1, 2, 2, 2]
    with pytest.raises(NotFound, match=r"Specific\(toy, 9\)"):
        make(version=9).predict({"x": [0]})
    with pytest.raises(InvalidArgument, match="Unrecognized servable version label: canary"):
        make(label="canary").predict({"x": [0]})
    with pytest.raises(NotFound, match=r"Latest\(other\)") as raised:
        make(model="other").predict({"x": [0]})
    assert raised.value.code == "NOT_FOUND"


@pytest.mark.parametrize(
    ("code", "error", "rest_code"),
    [
        ("INVALID_ARGUMENT", InvalidArgument, "INVALID_ARGUMENT"),
        ("FAILED_PRECONDITION", InvalidArgument, "INVALID_ARGUMENT"),
        ("NOT_FOUND", NotFound, "NOT_FOUND"),
        ("PERMISSION_DENIED", PermissionDenied, "PERMISSION_DENIED"),
        ("UNAUTHENTICATED", PermissionDenied, "UNAUTHENTICATED"),
        ("UNIMPLEMENTED", Unimplemented, "UNIMPLEMENTED"),
        ("DEADLINE_EXCEEDED", DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("INTERNAL", ServerError, "INTERNAL"),
        ("DATA_LOSS", ServerError, "INTERNAL"),
    ],
)
def test_errors_have_a_class_and_the_servers_message_and_are_not_tried_again(
    client, model, fault, kind, code, error, rest_code
):
    client.metadata()
    model.faults = [fault(code, "what was wrong: é")]
    with pytest.raises(error, match="what was wrong: é") as raised:
        client.predict({"x": [1]})
    assert raised.value.code == (rest_code if kind["rest"] else code)
    assert not raised.value.retryable
    assert model.calls.count("Predict") == 1


def test_a_server_that_is_busy_is_asked_again(client, model, fault):
    model.faults = [fault("UNAVAILABLE", "busy")] * 2
    assert client.predict({"x": [1]})["y"].tolist() == [2.5]
    assert model.calls == ["GetModelMetadata"] * 3 + ["Predict"]
    model.faults = [fault("UNAVAILABLE", "busy")] * 9
    with pytest.raises(Unavailable, match="busy"):
        client.predict({"x": [1]})
    assert len(model.faults) == 5  # after 4 tries


def test_a_server_with_too_much_to_do_is_asked_again_if_it_says_when(client, model, fault, kind):
    client.metadata()
    model.faults = [fault("RESOURCE_EXHAUSTED", "too much", "0")]
    assert client.predict({"x": [1]})["y"].tolist() == [2.5]
    model.faults = [fault("RESOURCE_EXHAUSTED", "too much")]
    if kind["rest"]:  # HTTP's 429 always asks for another try
        assert client.predict({"x": [1]})["y"].tolist() == [2.5]
        return
    with pytest.raises(ResourceExhausted, match="too much"):
        client.predict({"x": [1]})
    model.faults = [fault("UNAVAILABLE", "go away", "-1")]
    with pytest.raises(Unavailable, match="go away"):
        client.predict({"x": [1]})


def test_the_timeout_spans_all_tries(client, model, fault, kind):
    client.metadata()
    # Over gRPC the wish is in milliseconds.
    model.faults = [fault("UNAVAILABLE", "busy", "60" if kind["rest"] else "60000")]
    with pytest.raises(DeadlineExceeded, match=r"No answer within \S+ s, after 1 tries. The last error: busy"):
        client.predict({"x": [1]}, timeout=30)
    assert model.calls.count("Predict") == 1


def test_a_slow_answer_is_not_waited_for(client, model):
    client.metadata()
    model.answering.clear()
    with pytest.raises(DeadlineExceeded) as raised:
        client.predict({"x": [1]}, timeout=0.2)
    assert isinstance(raised.value, TimeoutError)
    model.answering.set()
    assert client.predict({"x": [1]})["y"].tolist() == [2.5]


@pytest.fixture
def refusing():
    """Returns an address at which nothing listens, and that no other process can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_no_server(make, refusing):
    with pytest.raises(Unavailable) as raised:
        make(refusing).status()
    assert isinstance(raised.value, ConnectionError)
    assert raised.value.retryable


def test_waiting_for_a_model_that_loads(client, model, fault):
    model.states = {1: ("LOADING", "OK", "")}
    model.labels = {}

    def load():
        until(lambda: len(model.calls) >= 3)
        model.states = {1: ("AVAILABLE", "OK", "")}

    thread = threading.Thread(target=load)
    thread.start()
    model.faults = [fault("NOT_FOUND", "Could not find any versions of model toy"), fault("UNAVAILABLE", "starting")]
    assert client.wait_until_ready() == 1
    thread.join()
    assert len(model.calls) > 3


def test_waiting_tells_the_version_that_has_the_label(make, model):
    model.states = {3: ("AVAILABLE", "OK", ""), 2: ("AVAILABLE", "OK", "")}
    assert make().wait_until_ready() == 3
    assert make(version=2).wait_until_ready() == 2
    assert make(label="stable").wait_until_ready() == 2


@pytest.fixture
def clock(monkeypatch):
    """Makes the waits for a model take no time, and returns a list with the time that they would take."""
    now = [0.0]

    async def sleep(self, seconds):
        now[0] += seconds

    monkeypatch.setattr(core, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    for base in (transport.Blocking, transport.Suspending):
        monkeypatch.setattr(base, "sleep", sleep)
    return now


def test_waiting_tells_the_last_states_of_the_versions(make, model, clock):
    model.states = {1: ("END", "NOT_FOUND", "variables are missing")}
    with pytest.raises(DeadlineExceeded, match=r"not ready within 30 s. .*variables are missing"):
        make().wait_until_ready(timeout=30)
    assert 29 <= clock[0] < 30


def test_waiting_in_vain(make, model, fault, refusing):
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0.3 s\. "):
        make(refusing).wait_until_ready(timeout=0.3)
    model.answering.clear()
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0.3 s\. "):
        make().wait_until_ready(timeout=0.3)
    model.answering.set()
    # The call that was not waited for takes one, too.
    model.faults = [fault("PERMISSION_DENIED", "no")] * 9
    with pytest.raises(PermissionDenied):
        make().wait_until_ready()


def test_large_messages(make, model):
    text = "é" * 2**21
    inputs = {"text": [text], "image_bytes": [b"\xff" * 2**22], "length": [1]}
    outputs = make().predict(inputs, "echo")
    assert outputs["text"][0] == text.encode()
    assert outputs["image_bytes"][0] == b"\xff" * 2**22
    small = make(max_message_bytes=2**20)
    with pytest.raises(ResourceExhausted) as raised:
        small.predict(inputs, "echo")
    assert not raised.value.retryable
    assert len(model.requests) == 1


def test_large_answers_are_refused(make, model):
    model.serving_default = lambda x: {"y": np.zeros(2**18, np.float32)}
    client = make(max_message_bytes=2**19)
    with pytest.raises(ResourceExhausted):
        client.predict({"x": [1]})


def test_connections_are_kept(servers, make, kind, model):
    client = make()
    for _ in range(5):
        client.predict({"x": [1]})
    if kind["rest"]:
        assert servers["http"].connections == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"server": "localhost"}, "`server` must be HOST:PORT. Received: server='localhost'"),
        ({"server": "http://localhost:8501"}, "`server` must be HOST:PORT"),
        ({"model": ""}, "`model` must be the name of a model"),
        ({"version": 1, "label": "a"}, "`version` or `label` must be given, not both"),
        ({"timeout": 0}, "`timeout` must be above 0"),
        ({"max_message_bytes": 0}, "`max_message_bytes` must be at least 1"),
    ],
)
def test_refuses_arguments(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_timeout_must_be_positive(client):
    with pytest.raises(InvalidArgument, match=r"`timeout` must be above 0. Received: timeout=0"):
        client.status(timeout=0)


def test_half_of_a_client_certificate_is_refused():
    with pytest.raises(ValueError, match="`certificate` and `key` must be given together"):
        TLS(certificate="a.pem")


def test_a_closed_client(make):
    client = make()
    assert client.predict({"x": [1]})["y"].tolist() == [2.5]
    client.close()
    for call in (client.status, client.metadata, client.wait_until_ready, lambda: client.predict({"x": [1]})):
        with pytest.raises(RuntimeError, match="The client has been closed"):
            call()


def test_clients_are_context_managers(servers):
    with Client(servers[False], "toy") as client:
        assert client.predict({"x": [1]})["y"].tolist() == [2.5]
    with pytest.raises(RuntimeError, match="The client has been closed"):
        client.status()

    async def predict():
        async with AsyncClient(servers[True], "toy", rest=True) as client:
            return await client.predict({"x": [1]}), client

    outputs, closed = asyncio.run(predict())
    assert outputs["y"].tolist() == [2.5]
    with pytest.raises(RuntimeError, match="The client has been closed"):
        asyncio.run(closed.status())


REST = pytest.mark.parametrize("kind", [{"rest": True, "blocking": True}, {"rest": True, "blocking": False}])


@REST
def test_an_answer_that_trickles_is_not_waited_for(client, model):
    model.pause = 0.05
    with pytest.raises(DeadlineExceeded, match=r"No answer within 0.\d+ s"):
        client.status(timeout=0.2)


@REST
def test_a_connection_that_breaks_is_made_again(client, model):
    model.cuts = 2
    assert [status.version for status in client.status()] == [2, 1]
    assert model.calls == ["GetModelStatus"] * 3


def test_tasks_share_a_client(servers):
    async def predict_all():
        async with AsyncClient(servers[False], "toy") as client:
            return await asyncio.gather(*(client.predict({"x": [number]}) for number in range(20)))

    assert [outputs["y"][0] for outputs in asyncio.run(predict_all())] == [2 + number / 2 for number in range(20)]


@pytest.mark.parametrize("kind", [{"rest": False, "blocking": True}, {"rest": True, "blocking": True}])
def test_threads_share_a_client(client):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: client.predict({"x": [number]})["y"][0], range(20)))
    assert found == [2 + number / 2 for number in range(20)]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(make, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert make().predict({"x": [1]})["y"].tolist() == [2.5]

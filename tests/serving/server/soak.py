"""Clients of a server for a while: valid requests, malformed ones, and connections that break."""

import contextlib
import dataclasses
import json
import os
import random
import shutil
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import numpy as np
import psutil

from ikelos.serving.protocol import messages
from ikelos.serving.protocol.tensors import to_tensor_proto

PATH = "/v1/models/plain:predict"
LARGE = 100 * 2**20
# Fewer requests and looks at the memory say nothing, so that clients on a busy machine go on beyond their time.
LEAST = {"valid": 100, "malformed": 20, "killed": 5}
LOOKS = 9
PATIENCE = 300
HEAD = b"POST /v1/models/plain:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"


def body(signature, **inputs):
    return json.dumps({"signature_name": signature, "inputs": inputs}).encode()


# Malformed bodies of REST, and what the error must contain.
BODIES = [
    (b"{", "JSON"),
    (b"[" * 100_000, "JSON"),
    (b'{"instances": ["\xff"]}', "utf-8"),
    (body("nothing", x=[1.0]), "nothing"),
    (body("serving_default", z=[1.0]), "z"),
    (body("serving_default", x=[[1.0]]), "x"),
    (body("serving_default", x=["a"]), "x"),
    (body("checked", text=["a"], n=[-1]), "n must be in [0, 9]"),
    (body("checked", text=["a"], n=[2**31]), "n"),
    (body("checked", text=["a", "b"], n=[1]), "n"),
    (body("picture", image_bytes=[{"b64": "iVBORw0KGgo="}]), "PNG"),
    (body("picture", image_bytes=[{"b64": "!"}]), "image_bytes"),
]


def predict_request(signature, **inputs):
    request = messages.PredictRequest(model_spec={"name": "plain"})
    request.model_spec.signature_name = signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(array))
    return request


def _negative_size():
    request = predict_request("serving_default", x=np.ones(1, np.float32))
    request.inputs["x"].tensor_shape.dim[0].size = -1
    return request


def _wrong_content():
    request = predict_request("serving_default", x=np.ones(1, np.float32))
    request.inputs["x"].ClearField("float_val")
    request.inputs["x"].tensor_content = b"123"
    return request


# Malformed messages of gRPC, and what the error must contain.
MESSAGES = [
    (b"\xff" * 20, "PredictRequest"),
    (predict_request("nothing", x=np.ones(1, np.float32)).SerializeToString(), "nothing"),
    (predict_request("serving_default", z=np.ones(1, np.float32)).SerializeToString(), "z"),
    (predict_request("serving_default", x=np.ones([1, 1], np.float32)).SerializeToString(), "x"),
    (predict_request("serving_default", x=np.ones(1, np.int32)).SerializeToString(), "x"),
    (_negative_size().SerializeToString(), "x"),
    (_wrong_content().SerializeToString(), "x"),
    (
        predict_request("checked", text=np.array([b"\xff"], object), n=np.array([-1], np.int32)).SerializeToString(),
        "n must be in [0, 9]",
    ),
    (predict_request("picture", image_bytes=np.array([b"\x89PNG"], object)).SerializeToString(), "PNG"),
]
BLAME = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}


@dataclasses.dataclass
class Report:
    """What has happened.

    Attributes:
        counts: Requests by kind.
        resident: Seconds since the start and resident bytes of the server, over time.
        version: The version that the server should have in the end.
    """

    counts: dict[str, int]
    resident: list[tuple[float, int]]
    version: int

    def growth(self):
        """Returns by how many bytes the largest size of the last third exceeds that of the second third."""
        third = len(self.resident) // 3
        sizes = [size for _, size in self.resident]
        return max(sizes[2 * third :]) - max(sizes[third : 2 * third])

    def __str__(self):
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        step = max(len(self.resident) // 12, 1)
        sizes = ", ".join(f"{second:.0f} s {size / 2**20:.0f}" for second, size in self.resident[::step])
        return f"{counts}; {self.version - 1} switches of versions; resident MiB: {sizes}"


class _Client:
    def __init__(self, number, url, grpc_port):
        self._number, self._step, self._port = number, 0, httpx.URL(url).port
        self._draw = random.Random(number)
        self._http = httpx.Client(base_url=url, timeout=60)
        # The options give each client a connection of its own.
        self._channel = grpc.insecure_channel(f"localhost:{grpc_port}", [("grpc.use_local_subchannel_pool", 1)])
        _, response = messages.METHODS["tensorflow.serving.PredictionService"]["Predict"]
        self._predict = self._channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict", response_deserializer=response.FromString
        )
        # Large messages must not be refused before they are sent.
        self._zeros = b"0" * LARGE if number == 0 else b""

    def close(self):
        self._http.close()
        self._channel.close()

    def ask(self):
        """Makes a request, checks its answer, and returns its kind."""
        self._step += 1
        draw = self._draw.random()
        if self._zeros and draw < 0.02:
            return self._large()
        if draw < 0.4:
            return self._valid_rest()
        if draw < 0.75:
            return self._valid_grpc()
        if draw < 0.85:
            return self._malformed_rest()
        if draw < 0.95:
            return self._malformed_grpc()
        return self._killed()

    def _valid_rest(self):
        inputs = {"text": [f"{self._number}:"], "n": [self._step]}
        response = self._http.post(PATH, json={"signature_name": "checked", "inputs": inputs})
        assert response.status_code == 200, response.text
        assert response.json()["outputs"]["text"] == [f"{self._number}:{self._step}"]
        return "valid"

    def _valid_grpc(self):
        text, n = np.array([f"{self._number}:".encode()], object), np.array([self._step], np.int32)
        response = self._predict(predict_request("checked", text=text, n=n).SerializeToString(), timeout=60)
        assert response.outputs["text"].string_val == [f"{self._number}:{self._step}".encode()]
        return "valid"

    def _malformed_rest(self):
        content, part = self._draw.choice(BODIES)
        response = self._http.post(PATH, content=content)
        assert 400 <= response.status_code < 500, (content[:200], response.text)
        assert part in response.json()["error"], (content[:200], response.text)
        return "malformed"

    def _malformed_grpc(self):
        data, part = self._draw.choice(MESSAGES)
        code, details = _error(lambda: self._predict(data, timeout=60))
        assert code in BLAME, (data, code, details)
        assert part in details, (data, details)
        return "malformed"

    def _large(self):
        if self._draw.random() < 0.5:
            response = self._http.post(PATH, content=self._zeros)
            assert response.status_code == 413, response.text
            assert "bytes" in response.json()["error"]
        else:
            code, details = _error(lambda: self._predict(self._zeros, timeout=60))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED, details
        return "of 100 MiB"

    def _killed(self):
        """Does what the system does for a client that is killed."""
        if self._draw.random() < 0.5:
            with socket.create_connection(("localhost", self._port)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(HEAD)
        else:
            request = predict_request("slow", steps=np.array([50_000], np.int32))
            self._predict.future(request.SerializeToString(), timeout=60).cancel()
        return "killed"


def _error(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("a malformed request was answered")


def soak(process_id, url, grpc_port, base, seconds, clients, switch):
    """Runs clients for some seconds, while version after version appears in a base path that has version 1.

    Raises:
        AssertionError: If a valid request fails, or a malformed one gets no error that says what is wrong, or there are
            fewer requests than `LEAST` `PATIENCE` seconds later.
    """
    counts = dict.fromkeys(("valid", "malformed", "of 100 MiB", "killed"), 0)
    lock, stop, resident, version = threading.Lock(), threading.Event(), [], 1

    def work(number):
        with contextlib.closing(_Client(number, url, grpc_port)) as client:
            while not stop.is_set():
                kind = client.ask()
                with lock:
                    counts[kind] += 1

    def is_enough():
        return len(resident) >= LOOKS and all(counts[kind] >= least for kind, least in LEAST.items())

    start, process = time.monotonic(), psutil.Process(process_id)
    with ThreadPoolExecutor(clients) as threads, contextlib.ExitStack() as end:
        end.callback(stop.set)
        futures = [threads.submit(work, number) for number in range(clients)]
        while (now := time.monotonic() - start) < seconds or not is_enough():
            assert now < seconds + PATIENCE, (counts, len(resident))
            resident.append((now, process.memory_info().rss))
            for future in futures:
                if future.done():
                    future.result()
            if now > version * switch:
                version += 1
                shutil.copytree(base / str(version - 1), base / ".incoming")
                os.rename(base / ".incoming", base / str(version))
                shutil.rmtree(base / str(version - 2), ignore_errors=True)
            time.sleep(0.5)
    for future in futures:
        future.result()
    return Report(counts, resident, version)

"""The server under load for a while: versions are switched, clients are killed, and malformed requests are mixed in."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

SECONDS, CLIENTS, SWITCH = 20, 32, 2
PATH = "/v1/models/plain:predict"
HEAD = b"POST /v1/models/plain:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
MALFORMED = [
    b"{",
    b"[" * 100_000,
    b'{"instances": ["\xff"]}',
    b'{"inputs": {"z": 1}}',
    b'{"inputs": [["a"]]}',
    b'{"signature_name": "checked", "inputs": {"text": ["a"], "n": [-1]}}',
    b"0" * (34 * 2**20),
]


@pytest.fixture
def process(plain, tmp_path):
    """Yields the process of a server of `tmp_path/plain`, and its URL."""
    shutil.copytree(plain, tmp_path / "plain" / "1")
    script = "import sys; from ikelos.pipelines.cli import main; sys.exit(main())"
    arguments = [str(tmp_path / "plain"), "--rest-port", "0", "--grpc-port", "0", "--max-batch", "16", "--poll", "0.1"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", script, "serve", *arguments], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        yield process, process.stdout.readline().split(" at ")[1].split()[0]
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.slow
def test_no_valid_request_fails_and_memory_stays_flat(process, tmp_path):
    process, url = process
    counts = {"valid": 0, "malformed": 0, "killed": 0}
    lock, stop = threading.Lock(), threading.Event()

    def client(number):
        rng, step = random.Random(number), 0
        with httpx.Client(base_url=url, timeout=60) as http:
            while not stop.is_set():
                step, draw = step + 1, rng.random()
                if draw < 0.8:
                    inputs = {"text": [f"{number}:"], "n": [step]}
                    response = http.post(PATH, json={"signature_name": "checked", "inputs": inputs})
                    assert response.status_code == 200, response.text
                    assert response.json()["outputs"]["text"] == [f"{number}:{step}"]
                elif draw < 0.97:
                    weights = [20] * (len(MALFORMED) - 1) + [1]
                    response = http.post(PATH, content=rng.choices(MALFORMED, weights)[0])
                    assert 400 <= response.status_code < 500
                    assert response.json()["error"]
                else:
                    with socket.create_connection(("localhost", httpx.URL(url).port)) as connection:
                        connection.sendall(HEAD)
                with lock:
                    counts["valid" if draw < 0.8 else "malformed" if draw < 0.97 else "killed"] += 1

    base, resident = tmp_path / "plain", []
    with ThreadPoolExecutor(CLIENTS) as threads, contextlib.ExitStack() as end:
        end.callback(stop.set)
        clients = [threads.submit(client, number) for number in range(CLIENTS)]
        for number in range(2, 2 + SECONDS // SWITCH):
            time.sleep(SWITCH)
            shutil.copytree(base / str(number - 1), base / ".incoming")
            os.rename(base / ".incoming", base / str(number))
            resident.append(psutil.Process(process.pid).memory_info().rss)
            assert not any(future.done() for future in clients), [f.exception() for f in clients if f.done()]
    for future in clients:
        future.result()
    served = json.loads(httpx.get(f"{url}v1/models/plain").text)["model_version_status"]
    assert served[0] == {
        "version": str(1 + SECONDS // SWITCH),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert min(counts.values()) > 10
    # A body of 34 MiB may be in memory at one moment, and not at another.
    assert max(resident[len(resident) // 2 :]) < max(resident[: len(resident) // 2]) + 2**27

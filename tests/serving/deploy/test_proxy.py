"""nginx with the rendered configuration, in front of a server that answers with the path it was asked for."""

import collections
import contextlib
import http.client
import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from tests.serving.waiting import SECONDS, until

from ikelos.serving.deploy import Platform, Target, Tls, proxy, render

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # header and body in one packet, for which the proxy would wait

    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def running(folder, shares, tmp_path):
    """Context manager that runs nginx as in the container, but for ports and paths, and yields its ports."""
    (folder / "proxy" / "labels.conf").write_text(proxy.labels(shares))
    path = folder / "proxy" / "nginx.conf"
    text = re.sub(r" /(proxy|tls)/", rf" {folder}/\1/", path.read_text().replace(" /tmp/", f" {tmp_path}/"))
    if os.getuid() == 0:  # whose worker would be another user, without access to the folder
        text = f"user root;\n{text}"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(upstream())
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        ports = [listening.getsockname()[1] for listening in sockets]
        text = re.sub(r"listen (8080|8443)", f"listen 127.0.0.1:{ports[0]}", text)
        text = text.replace("listen 9090", f"listen 127.0.0.1:{ports[1]}")
        path.write_text(text.replace("server serving:8501", f"server 127.0.0.1:{server}"))
        # nginx takes over the sockets, as from an older nginx, so that no other process can take a port before it does.
        # Whoever connects before it is ready waits.
        descriptors = [listening.fileno() for listening in sockets]
        process = subprocess.Popen(
            ["nginx", "-e", "stderr", "-c", path],
            env={**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in descriptors)},
            pass_fds=descriptors,
        )
        for listening in sockets:
            listening.close()
        try:
            yield ports
        finally:
            process.terminate()
            process.wait(SECONDS)


def ask(port, path, method="POST", body=b"{}"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    with contextlib.closing(connection):
        return answer.status, answer.read().decode()


def test_only_the_api_is_let_through(folder, tmp_path):
    with running(folder, {}, tmp_path) as (port, metrics):
        for path in (
            "/v1/models/lm",
            "/v1/models/v.2:predict",
            "/v1/models/lm/metadata",
            "/v1/models/lm/versions/3:predict",
            "/v1/models/lm/labels/canary:classify",
            "/v1/models/lm/labels/stable/metadata",
            "/v1/models/lm:regress",
        ):
            assert ask(port, path) == (200, path)
        for path in (
            "/",
            "/monitoring/prometheus/metrics",
            "/v1/models/lm:reload",
            "/v1/models/lm/../../monitoring/prometheus/metrics",
            "/v1/models/l%0d%0am:predict",
            "/v1/models/lm:predict/x",
            "/healthz",
        ):
            assert ask(port, path)[0] == 404, path
        assert ask(port, "/v1/models/lm:predict", "DELETE")[0] == 403
        assert ask(port, "/v1/models/lm:predict", body=bytes(7 << 20))[0] == 200
        assert ask(port, "/v1/models/lm:predict", body=bytes((7 << 20) + 1))[0] == 413
        assert ask(metrics, "/monitoring/prometheus/metrics", "GET") == (200, "/monitoring/prometheus/metrics")
        assert ask(metrics, "/healthz", "GET")[0] == 204
        assert ask(metrics, "/v1/models/lm:predict")[0] == 404


def test_a_canary_gets_its_share_of_the_requests_that_name_no_version(folder, tmp_path):
    with running(folder, {"lm": 50, "v.2": 0}, tmp_path) as (port, _):
        found = collections.Counter(ask(port, "/v1/models/lm:predict")[1] for _ in range(200))
        assert set(found) == {"/v1/models/lm/labels/canary:predict", "/v1/models/lm/labels/stable:predict"}
        assert min(found.values()) > 60  # five standard deviations below the mean
        assert ask(port, "/v1/models/v.2:predict")[1] == "/v1/models/v.2/labels/stable:predict"
        assert ask(port, "/v1/models/v.2/metadata")[1] == "/v1/models/v.2/labels/stable/metadata"
        assert ask(port, "/v1/models/v.2")[1] == "/v1/models/v.2/labels/stable"
        for path in ("/v1/models/lm/versions/3:predict", "/v1/models/v12:predict", "/v1/models/other:predict"):
            assert ask(port, path)[1] == path


def test_tls_asks_for_a_certificate_where_one_is_required(models, settings, tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", made / "key", "-out", made / "crt"]
    subprocess.run(command, check=True, capture_output=True)
    tls = Tls.read(made / "crt", made / "key", made / "crt")
    folder = render(models, settings, Target(Platform.COMPOSE, tls=tls), tmp_path / "tls")
    context = ssl.create_default_context(cafile=made / "crt")

    def status(port):
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/models/lm")
            return connection.getresponse().status

    with running(folder, {}, tmp_path) as (port, _):
        assert status(port) == 400
        context.load_cert_chain(made / "crt", made / "key")
        assert status(port) == 200


def test_more_requests_than_the_memory_has_room_for_are_refused(folder, tmp_path):
    begun = b"POST /v1/models/lm:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    with running(folder, {}, tmp_path) as (port, _), contextlib.ExitStack() as waiting:
        for _ in range(64):
            waiting.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(begun)
        until(lambda: ask(port, "/v1/models/lm")[0] == 503)  # when nginx has read the headers of all

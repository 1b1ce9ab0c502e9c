"""The server under load for a while: versions are switched, clients are killed, and malformed requests are mixed in."""

import re
import subprocess
import sys

import httpx
import pytest
import tensorflow as tf
from tests.serving.server import conftest, soak
from tests.serving.waiting import SECONDS, until

CLIENTS = 32


class Model(conftest.Plain):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def picture(self, image_bytes):
        size = tf.map_fn(lambda x: tf.size(tf.io.decode_png(x)), image_bytes, fn_output_signature=tf.int32)
        return {"size": size}


@pytest.fixture
def server(tmp_path):
    """Yields the process of a server of `tmp_path/plain`, its URL and its port of gRPC."""
    model = Model()
    names = {"serving_default": model.half_plus_three, "picture": model.picture}
    signatures = names | {name: getattr(model, name) for name in ("slow", "checked")}
    tf.saved_model.save(model, str(tmp_path / "plain" / "1"), signatures=signatures)
    script = "import sys; from ikelos.pipelines.cli import main; sys.exit(main())"
    arguments = [str(tmp_path / "plain"), "--rest-port", "0", "--grpc-port", "0", "--max-batch", "16", "--poll", "0.1"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", script, "serve", *arguments], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            line = process.stdout.readline()
            found = re.search(r"(http://\S+) \(gRPC: port (\d+)\)", line)
            assert found, (line, (tmp_path / "log").read_text())
            yield process, *found.groups()
            process.terminate()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("seconds", "switch"),
    [pytest.param(10, 1, id="short"), pytest.param(600, 10, id="long", marks=pytest.mark.slow)],
)
def test_no_valid_request_fails_and_memory_stays_flat(server, tmp_path, seconds, switch):
    process, url, grpc_port = server
    report = soak.soak(process.pid, url, int(grpc_port), tmp_path / "plain", seconds, CLIENTS, switch)
    print(report)

    def served():
        status = httpx.get(f"{url}v1/models/plain").json()["model_version_status"]
        return [(each["version"], each["state"]) for each in status if each["state"] == "AVAILABLE"]

    until(lambda: served() == [(str(report.version), "AVAILABLE")])
    # The body of a large request may be in memory at one moment, and not at another.
    assert report.growth() < 2 * soak.LARGE

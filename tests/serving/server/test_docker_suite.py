"""The tests for TensorFlow Serving in a container, against this server."""

import os
import pathlib
import subprocess
import sys

import pytest

DOCKER = pathlib.Path(__file__).parents[1] / "docker"


@pytest.mark.slow
def test_this_server_passes_those_that_need_no_labels(serving, tmp_path):
    subprocess.run([sys.executable, DOCKER / "models.py", tmp_path], check=True, capture_output=True)
    with serving(tmp_path) as server:
        addresses = {
            "IKELOS_SERVING_MODELS": str(tmp_path),
            "IKELOS_SERVING_REST": server.http.base_url.netloc.decode(),
            "IKELOS_SERVING_GRPC": f"localhost:{server.grpc_port}",
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", DOCKER / "test_server.py"]
        done = subprocess.run(command, env=os.environ | addresses, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]  # 5 if all were skipped

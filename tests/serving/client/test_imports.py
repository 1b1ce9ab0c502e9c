"""What a client needs: neither TensorFlow, nor the library of the protocol that it does not use."""

import subprocess
import sys

import pytest

HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""


def _run(code, hidden):
    process = subprocess.run(
        [sys.executable, "-P", "-c", HIDE.format(hidden=hidden) + code], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_a_client_works_where_tensorflow_is_not_installed(servers):
    hidden = {"tensorflow", "keras", "tensorflow_text", "tensorflow_serving", "httpx"}
    code = f"""
from ikelos.serving.client import Client
with Client({servers[False]!r}, "toy") as client:
    print(client.predict({{"x": [1]}})["y"].tolist())
"""
    assert _run(code, hidden) == "[2.5]\n"
    code = code.replace(servers[False], servers[True]).replace('"toy"', '"toy", rest=True')
    assert _run(code, (hidden | {"grpc"}) - {"httpx"}) == "[2.5]\n"


@pytest.mark.parametrize(("rest", "package"), [(False, "grpcio"), (True, "httpx")])
def test_a_package_that_is_missing_is_named_with_the_extra(rest, package):
    code = f"""
from ikelos.serving.client import Client
try:
    Client("localhost:1", "toy", rest={rest})
except ImportError as error:
    print(error)
"""
    assert _run(code, {"grpc", "httpx"}).startswith(
        f"The client needs the package {package}: pip install 'ikelos[serving]' (No module named"
    )

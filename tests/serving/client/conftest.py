import asyncio
import importlib.util
import pathlib

import pytest

from ikelos.serving.client import AsyncClient, Client, Retry

# pytest's import mode gives the files of a folder of tests no package to import from.
_spec = importlib.util.spec_from_file_location("fake", pathlib.Path(__file__).with_name("fake.py"))
_fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fake)

# Short waits, as the tests wait for them.
RETRY = Retry(tries=4, first=0.01, longest=0.05)
KINDS = {
    "grpc": {"rest": False, "blocking": True},
    "rest": {"rest": True, "blocking": True},
    "grpc-asyncio": {"rest": False, "blocking": False},
    "rest-asyncio": {"rest": True, "blocking": False},
}


class Driven:
    """An AsyncClient with the methods of a Client, so that one test is for both."""

    def __init__(self, *arguments, **options):
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if name == "stream":
            return lambda *arguments, **options: self._pieces(method(*arguments, **options))
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))

    def _pieces(self, pieces):
        try:
            while True:
                try:
                    yield self._runner.run(anext(pieces))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(pieces.aclose())

    def end(self):
        """Ends the event loop."""
        self._runner.close()


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def fake():
    """Returns the module fake.py."""
    return _fake


@pytest.fixture
def model():
    return _fake.Model()


@pytest.fixture
def servers(model):
    """Returns the addresses of servers of the model, `{rest: address}`."""
    grpc_server, grpc_port = _fake.serve_grpc(model)
    http_server, http_port = _fake.serve_http(model)
    yield {False: f"127.0.0.1:{grpc_port}", True: f"127.0.0.1:{http_port}", "http": http_server}
    model.answering.set()
    grpc_server.stop(0)
    http_server.shutdown()
    http_server.server_close()


@pytest.fixture(params=KINDS)
def kind(request):
    """Returns whether a client uses REST, and whether it blocks: each of the four in turn."""
    return KINDS[request.param]


@pytest.fixture
def make(servers, kind):
    """Returns a function that makes a client of the fake model, with the methods of a blocking one in any case."""
    made = []

    def build(server=None, model="toy", **options):
        options = {"retry": RETRY, "timeout": 60.0, **options}
        cls = Client if kind["blocking"] else Driven
        made.append(cls(server or servers[kind["rest"]], model, rest=kind["rest"], **options))
        return made[-1]

    yield build
    for client in made:
        client.close()
        if isinstance(client, Driven):
            client.end()


@pytest.fixture
def client(make):
    return make()


@pytest.fixture
def fault():
    """Returns the class of errors for `Model.faults`."""
    return _fake.FaultError


@pytest.fixture
def signatures_of_fake(monkeypatch):
    """Returns the signatures of the fake model, which a test may change."""
    monkeypatch.setattr(_fake, "SIGNATURES", dict(_fake.SIGNATURES))
    return _fake.SIGNATURES

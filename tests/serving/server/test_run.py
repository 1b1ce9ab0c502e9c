import asyncio
import signal
import socket

import pytest

from ikelos.serving.server import CannotServe, Settings, run, serve
from ikelos.serving.server.run import _listening


def test_answers_are_sent_at_once():
    with (
        _listening("127.0.0.1", 0, "--rest-port") as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_name_that_is_not_known():
    with pytest.raises(CannotServe, match=r"cannot listen on port 0 of no\.host\.invalid \(.+\): choose another with"):
        _listening("no.host.invalid", 0, "--rest-port")


def test_stopping_while_the_models_are_loaded(plain):
    async def started_and_stopped():
        stop = asyncio.Event()
        stop.set()
        await serve(Settings(plain.parent, rest_port=0, grpc_port=0), lambda *_: pytest.fail("it is ready"), stop)

    asyncio.run(started_and_stopped())


def test_a_signal_stops_the_server(plain):
    ports = []

    def ready(rest, grpc, versions):
        ports.extend((rest, grpc))
        signal.raise_signal(signal.SIGTERM)

    run(Settings(plain.parent, rest_port=0, grpc_port=0), ready)
    assert len(ports) == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]))


def test_folders_that_change_at_the_start(plain, monkeypatch):
    async def poll(manager):
        raise ValueError("two models must not have one name")

    monkeypatch.setattr("ikelos.serving.server.manager.Manager.poll", poll)
    with pytest.raises(CannotServe, match="two models"):
        run(Settings(plain.parent, rest_port=0, grpc_port=0), lambda *_: pytest.fail("it is ready"))

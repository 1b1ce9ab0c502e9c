"""Starts the server, and stops it when the process is told to end."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator

import grpc
import uvicorn

from ikelos.serving.server import grpc_api, rest_api
from ikelos.serving.server.discovery import check_path
from ikelos.serving.server.engine import Engine
from ikelos.serving.server.settings import Settings
from ikelos.serving.server.versions import State, Version


class CannotServe(Exception):  # noqa: N818, as `CheckFailed`
    """Raised if the server cannot start; the message says why, in one line."""


class _Http(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Does nothing, because `serve` handles signals, for gRPC too."""
        yield


Ready = Callable[[int, int, list[Version]], None]


def run(settings: Settings, ready: Ready) -> None:
    """Serves the models, as `serve` does, until SIGINT or SIGTERM; a second signal ends the process at once.

    Must be called in the main thread.

    Raises:
        CannotServe: As in `serve`.
    """

    async def until_signal() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _stop_or_exit, stop, number)
        await serve(settings, ready, stop)

    asyncio.run(until_signal())


async def serve(settings: Settings, ready: Ready, stop: asyncio.Event) -> None:
    """Serves the models until `stop` is set; then finishes the running requests.

    Args:
        settings: The settings.
        ready: Called when all models have been loaded, with the ports of REST and gRPC and the versions that serve.
        stop: Tells the server to stop.

    Raises:
        CannotServe: If there is no model, none can be loaded, or a port is taken.
    """
    try:
        check_path(settings.path)
    except ValueError as error:
        raise CannotServe(str(error)) from error
    with _listening(settings.host, settings.rest_port, "--rest-port") as listener:
        await _serve(settings, listener, ready, stop)


async def _serve(settings: Settings, listener: socket.socket, ready: Ready, stop: asyncio.Event) -> None:
    engine = Engine(settings)
    remote = grpc_api.make_server(engine)
    grpc_port = _bind(remote, settings)
    loading, stopping = asyncio.create_task(engine.manager.poll()), asyncio.create_task(stop.wait())
    await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        loading.cancel()
        return
    try:
        await loading
    except (OSError, ValueError) as error:  # the folders have changed since `check_path`
        raise CannotServe(str(error)) from error
    versions = [version for known in engine.manager.models.values() for version in known.values()]
    served = [version for version in versions if version.state is State.AVAILABLE]
    if not served:
        raise CannotServe("\n".join(version.message for version in versions))
    http = _Http(
        uvicorn.Config(
            rest_api.make_app(engine),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=round(settings.grace),
        )
    )
    serving = asyncio.create_task(http.serve([listener]))
    await remote.start()
    while not http.started and not serving.done():
        await asyncio.sleep(0.01)
    watching = asyncio.create_task(engine.manager.watch(settings.poll))
    ready(listener.getsockname()[1], grpc_port, served)
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    watching.cancel()
    http.should_exit = True
    await asyncio.gather(serving, remote.stop(settings.grace))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(engine.close(), settings.grace)


def _listening(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
        # asyncio does so only for sockets that it opens itself. Without it, an answer waits 40 ms for the client's
        # acknowledgement of its header.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        # Python adds the address to the reason; the reason of a name that is not known has no number.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise CannotServe(
            f"cannot listen on port {port} of {host} ({str(why).lower()}): choose another with {option}, "
            "0 for any free one"
        ) from error


def _bind(server: grpc.aio.Server, settings: Settings) -> int:
    # gRPC would log that the port is taken, and not say why.
    _listening(settings.host, settings.grpc_port, "--grpc-port").close()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return server.add_insecure_port(f"{host}:{settings.grpc_port}")


def _stop_or_exit(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()

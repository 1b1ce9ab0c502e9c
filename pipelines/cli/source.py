"""The model that `ikelos predict` runs: an exported one in this process, or one on a server."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ikelos.pipelines.cli.exported import find_version, open_exported, run_signature
from ikelos.pipelines.cli.failures import reason
from ikelos.pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class Source:
    """A model that can be run.

    Attributes:
        title: Where the model is, for people.
        signatures: As `StockModel.signatures`.
        examples: Examples by signature, `{"doc": ..., "inputs": {...}}`; empty if there are none.
        run: Function from a signature and its inputs to its outputs.
    """

    title: str
    signatures: dict[str, Any]
    examples: dict[str, Any]
    run: Callable[[str, dict[str, Any]], dict[str, Any]]


def open_source(path: Path | None, library: Path | None, server: str | None, remote: Mapping[str, Any]) -> Any:
    """Returns a context manager that yields the Source that the arguments name.

    Args:
        path: Where an exported model is, None for a server.
        library: Ikelos's native library, for an exported model.
        server: Address of a server, None for an exported model.
        remote: The options given for a server by name: `model`, `rest`, `version`, `timeout` and `tls_roots`.

    Raises:
        UserError: If not exactly one of `path` and `server` is given, or an option of the one comes with the other.
    """
    if (path is None) == (server is None):
        received = "neither" if path is None else f"PATH {path} and --server {server}"
        raise UserError(f"Either PATH or --server HOST:PORT must be given. Received: {received}")
    if path is not None:
        for name in remote:
            raise UserError(f"--{name.replace('_', '-')} must come with --server. Received: PATH {path}")
        return _local(find_version(path), library)
    if library is not None:
        raise UserError(f"--library must come with PATH. Received: --server {server}")
    if "model" not in remote:
        raise UserError(f"--model NAME must come with --server {server}. Received: no name")
    return _served(str(server), **remote)


@contextlib.contextmanager
def _local(version: Path, library: Path | None) -> Iterator[Source]:
    loaded, examples = open_exported(version, library)
    with loaded:
        yield Source(
            str(version),
            loaded.signatures,
            examples,
            lambda signature, values: run_signature(loaded, signature, values),
        )


@contextlib.contextmanager
def _served(
    server: str,
    model: str,
    rest: bool = False,
    version: int | None = None,
    timeout: float = 60,
    tls_roots: Path | None = None,
) -> Iterator[Source]:
    # Here, because it imports numpy and gRPC.
    from ikelos.serving.client import TLS, Client

    tls = None if tls_roots is None else TLS(tls_roots)
    try:
        client = Client(server, model, version=version, timeout=timeout, rest=rest, tls=tls)
    except OSError as error:
        raise UserError(f"--tls-roots {tls_roots}: cannot read it: {reason(error)}") from None
    except ValueError as error:
        raise UserError(f"--server: {error}") from None
    with client:
        # No examples: the protocol has none.
        yield Source(
            f"{model} at {server}",
            client.metadata(),
            {},
            lambda signature, values: client.predict(values, signature),
        )

"""The model that `ikelos predict` runs: an exported one in this process, or one on a server."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ikelos.pipelines.cli.exported import find_version, open_exported, run_signature
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


def open_source(path: Path | None, library: Path | None, server: str | None, model: str | None, rest: bool) -> Any:
    """Returns a context manager that yields the Source that the arguments name.

    Raises:
        UserError: If not exactly one of `path` and `server` is given, or an option of the one comes with the other.
    """
    if (path is None) == (server is None):
        received = "neither" if path is None else f"PATH {path} and --server {server}"
        raise UserError(f"Either PATH or --server HOST:PORT must be given. Received: {received}")
    if path is not None:
        if model is not None or rest:
            raise UserError(
                f"{'--rest' if model is None else '--model'} must come with --server. Received: PATH {path}"
            )
        return _local(find_version(path), library)
    if library is not None:
        raise UserError(f"--library must come with PATH. Received: --server {server}")
    return _served(str(server), model, rest)


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
def _served(server: str, model: str | None, rest: bool) -> Iterator[Source]:
    if model is None:
        raise UserError(f"--model NAME must come with --server {server}. Received: no name")
    # Here, because it imports numpy and gRPC.
    from ikelos.serving.client import Client

    try:
        client = Client(server, model, rest=rest)
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

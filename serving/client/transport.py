"""What clients share of gRPC and REST: whom they call, and the calls that a protocol must offer."""

import asyncio
import dataclasses
import pathlib
import re
import time
from typing import Protocol, Self

import numpy as np

from ikelos.serving.client.errors import invalid_answers
from ikelos.serving.loopback import is_loopback
from ikelos.serving.protocol.messages import (
    Code,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelVersionStatus,
)
from ikelos.serving.protocol.metadata import Signatures, read_signatures, unpack_signatures
from ikelos.serving.protocol.rest import Specs

MAX_MESSAGE_BYTES = 256 * 2**20
"""Most bytes of a request or a response by default. The default of gRPC, 4 MiB, is less than many images."""

# A name, an IPv4 address or an IPv6 address in brackets, and a port.
_ADDRESS = re.compile(r"([^\s/:@\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")


@dataclasses.dataclass(frozen=True)
class TLS:
    """An encrypted connection.

    Attributes:
        root_certificates: File with the certificates that sign the server's (PEM); None for those that the library
            trusts.
        certificate: File with the client's certificate (PEM), if the server asks for one.
        key: File with the key of `certificate` (PEM).

    Raises:
        ValueError: If only one of `certificate` and `key` is given.
    """

    root_certificates: pathlib.Path | str | None = None
    certificate: pathlib.Path | str | None = None
    key: pathlib.Path | str | None = None

    def __post_init__(self):
        if (self.certificate is None) != (self.key is None):
            raise ValueError(
                "`certificate` and `key` must be given together. "
                f"Received: certificate={self.certificate}, key={self.key}"
            )


@dataclasses.dataclass(frozen=True)
class Target:
    """A model on a server.

    Attributes:
        server: Address, `HOST:PORT`.
        model: Name of the model.
        version: Number of the version; None for the newest, or that of `label`.
        label: Label of the version, or None.
        tls: The connection's encryption; None for none.
        max_message_bytes: Most bytes of a request or a response.

    Raises:
        ValueError: If an attribute is invalid.
    """

    server: str
    model: str
    version: int | None = None
    label: str | None = None
    tls: TLS | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def __post_init__(self):
        if not _ADDRESS.fullmatch(self.server):
            raise ValueError(f"`server` must be HOST:PORT. Received: server={self.server!r}")
        if not self.model:
            raise ValueError("`model` must be the name of a model. Received: model=''")
        if self.version is not None and self.label is not None:
            raise ValueError(
                f"`version` or `label` must be given, not both. Received: version={self.version}, label={self.label!r}"
            )
        if self.max_message_bytes < 1:
            raise ValueError(
                f"`max_message_bytes` must be at least 1. Received: max_message_bytes={self.max_message_bytes}"
            )

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, which no proxy of the environment reaches."""
        return is_loopback(self.server.rpartition(":")[0].strip("[]"))


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of one version of a model.

    Attributes:
        version: Number of the version.
        state: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
        code: gRPC's name of the version's status: `OK`, or why it does not load.
        message: Why the version does not load, or empty.
    """

    version: int
    state: str
    code: str
    message: str


class Transport(Protocol):
    """The calls to a server, by one protocol.

    The methods are coroutines in every transport, so that the logic of a client is written once. Those of a blocking
    transport never suspend, and `run` runs them without an event loop.
    """

    async def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: Specs, timeout: float
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature; `outputs` says what they are."""

    async def metadata(self, timeout: float) -> Signatures:
        """Returns the signatures of the model."""

    async def status(self, timeout: float) -> list[VersionStatus]:
        """Returns the state of the model's versions."""

    async def version(self, timeout: float) -> int | None:
        """Returns the version that answers now, or None if there is only one."""

    def at(self, version: int) -> "Transport":
        """Returns a transport to one version, over the same connections."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    async def close(self) -> None:
        """Closes the connections."""


class OneVersion:
    """Base of transports to a server that may have one version only."""

    async def version(self, timeout: float) -> int | None:
        """Returns None."""
        return None

    def at(self, version: int) -> Self:
        """Returns this transport."""
        return self


class DescribedByMetadata:
    """Base of transports to a server that tells signatures and version in its metadata."""

    async def metadata(self, timeout: float) -> Signatures:
        """Returns the signatures of the model."""
        response = await self._metadata(timeout)
        with invalid_answers():
            return read_signatures(unpack_signatures(response).signature_def)

    async def version(self, timeout: float) -> int | None:
        """Returns the version that answers now."""
        return (await self._metadata(timeout)).model_spec.version.value or None

    async def _metadata(self, timeout: float) -> GetModelMetadataResponse:
        raise NotImplementedError


class Blocking(OneVersion):
    """Base of blocking transports."""

    async def sleep(self, seconds: float) -> None:
        """Blocks the thread."""
        time.sleep(seconds)


class Suspending(OneVersion):
    """Base of transports for asyncio."""

    async def sleep(self, seconds: float) -> None:
        """Suspends the task."""
        await asyncio.sleep(seconds)


def version_statuses(response: GetModelStatusResponse) -> list[VersionStatus]:
    """Returns the states in a message, the newest version first."""
    found = [
        VersionStatus(
            status.version,
            ModelVersionStatus.State.Name(status.state),
            Code.Name(status.status.error_code),
            status.status.error_message,
        )
        for status in response.model_version_status
    ]
    return sorted(found, key=lambda status: -status.version)


def missing(package: str, error: ImportError) -> ImportError:
    """Returns the error that a package of the client is not installed."""
    return ImportError(f"The client needs the package {package}: pip install 'ikelos[serving]' ({error})")


def read(path: pathlib.Path | str | None) -> bytes | None:
    """Returns the content of a file, or None if `path` is None."""
    return None if path is None else pathlib.Path(path).read_bytes()

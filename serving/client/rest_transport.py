"""Calls to a server by REST."""

import asyncio
import copy
import ssl
import time
from typing import Any, Self

import numpy as np

from ikelos.serving.client.errors import ServingError, error_of, invalid_answers
from ikelos.serving.client.transport import (
    Blocking,
    DescribedByMetadata,
    Suspending,
    Target,
    VersionStatus,
    missing,
    version_statuses,
)
from ikelos.serving.protocol import rest
from ikelos.serving.protocol.messages import GetModelMetadataResponse
from ikelos.serving.protocol.metadata import (
    read_metadata,
    read_status,
)

try:
    import httpx
except ImportError as error:
    raise missing("httpx", error) from error

# gRPC's code for each status of HTTP. Several codes have the same status; others than these are UNKNOWN.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RETRYABLE = (429, 503)


class _Calls(DescribedByMetadata):
    """The calls as requests; a subclass sends them."""

    def __init__(self, target: Target):
        self._target = target
        self._path = rest.model_path(target.model, target.version, target.label)

    async def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: rest.Specs, timeout: float
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature."""
        body = rest.write_predict(signature, inputs)
        response = await self._send("POST", f"{self._path}:predict", body, timeout)
        with invalid_answers():
            return rest.read_predictions(response, outputs)

    def at(self, version: int) -> Self:
        """Returns a transport to one version, over the same connections."""
        other = copy.copy(self)
        other._path = rest.model_path(self._target.model, version)
        return other

    async def status(self, timeout: float) -> list[VersionStatus]:
        """Returns the state of the model's versions."""
        response = await self._send("GET", self._path, b"", timeout)
        with invalid_answers():
            return version_statuses(read_status(response))

    async def _metadata(self, timeout: float) -> GetModelMetadataResponse:
        response = await self._send("GET", f"{self._path}/metadata", b"", timeout)
        with invalid_answers():
            return read_metadata(response)

    async def _send(self, verb: str, path: str, body: bytes, timeout: float) -> bytes:
        raise NotImplementedError

    def _options(self) -> dict[str, Any]:
        tls = self._target.tls
        environment = {"trust_env": not self._target.is_local}
        if tls is None:
            return {"base_url": f"http://{self._target.server}", **environment}
        context = ssl.create_default_context(cafile=tls.root_certificates)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
        return {"base_url": f"https://{self._target.server}", "verify": context, **environment}

    def _check_size(self, size: int) -> None:
        limit = self._target.max_message_bytes
        if size > limit:
            raise error_of("RESOURCE_EXHAUSTED", f"A message must have at most {limit} bytes. Received: {size} or more")


class RestTransport(_Calls, Blocking):
    """Blocking calls over connections that are kept open, which threads may share."""

    def __init__(self, target: Target):
        super().__init__(target)
        self._client = httpx.Client(**self._options())

    async def _send(self, verb: str, path: str, body: bytes, timeout: float) -> bytes:
        self._check_size(len(body))
        end = time.monotonic() + timeout
        content = bytearray()
        try:
            # httpx limits the time of each step, not of all: so look at the clock after each part of the answer.
            with self._client.stream(verb, path, content=body, timeout=timeout) as response:
                for part in response.iter_bytes():
                    content += part
                    self._check_size(len(content))
                    if time.monotonic() > end:
                        raise httpx.ReadTimeout("the answer takes too long")
        except httpx.HTTPError as error:
            raise _translated(error, timeout) from error
        return _checked(response, bytes(content))

    async def close(self) -> None:
        """Closes the connections."""
        self._client.close()


class AsyncRestTransport(_Calls, Suspending):
    """Calls for asyncio over connections that are kept open."""

    def __init__(self, target: Target):
        super().__init__(target)
        self._client = httpx.AsyncClient(**self._options())

    async def _send(self, verb: str, path: str, body: bytes, timeout: float) -> bytes:
        self._check_size(len(body))
        content = bytearray()
        try:
            async with (
                asyncio.timeout(timeout),
                self._client.stream(verb, path, content=body, timeout=None) as response,
            ):
                async for part in response.aiter_bytes():
                    content += part
                    self._check_size(len(content))
        except (httpx.HTTPError, TimeoutError, ssl.SSLError) as error:  # httpx lets the last through as it is
            raise _translated(error, timeout) from error
        return _checked(response, bytes(content))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def _translated(error: Exception, timeout: float) -> ServingError:
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return error_of("DEADLINE_EXCEEDED", f"No answer within {timeout:.3g} s")
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError | ssl.SSLError):
        return error_of("UNAVAILABLE", f"The connection failed: {error}", retryable=True)
    return error_of("UNKNOWN", f"{type(error).__name__}: {error}")


def _checked(response: Any, content: bytes) -> bytes:
    """Returns the body of a response.

    Raises:
        ServingError: If the status of the response is an error.
    """
    status = response.status_code
    if status == 200:
        return content
    message = rest.read_error(content) or f"HTTP status {status}"
    retryable = status in _RETRYABLE
    asked = response.headers.get("Retry-After", "")
    wait = float(asked) if retryable and asked.isdecimal() else None
    raise error_of(_CODES.get(status, "UNKNOWN"), message, retryable, wait)

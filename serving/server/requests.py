"""What all HTTP requests need: their bodies within a limit, and the check where they come from."""

import asyncio
import zlib
from urllib.parse import urlsplit

from grpc import StatusCode
from starlette.requests import ClientDisconnect, Request

from ikelos.serving.loopback import is_loopback
from ikelos.serving.server.errors import RequestError

_MOST_DISCARDED = 2**30
_SECONDS = 60.0


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Returns the body of a request as it was sent, which `uncompressed` reads.

    Raises:
        RequestError: If it has more than `max_bytes`, or does not come within a minute.
    """
    parts, length = [], 0
    try:
        async with asyncio.timeout(_SECONDS):
            async for part in request.stream():
                length += len(part)
                # The rest is read and dropped, since many clients read no answer before they have sent everything.
                if length <= max_bytes:
                    parts.append(part)
                elif length > _MOST_DISCARDED:
                    break
    except TimeoutError:
        raise RequestError(
            StatusCode.DEADLINE_EXCEEDED, f"The body of the request must come within {_SECONDS:g} s", 408
        ) from None
    except ClientDisconnect:
        raise RequestError(StatusCode.CANCELLED, "The client closed the connection") from None
    _check_length(length, max_bytes)
    body = b"".join(parts)
    del parts  # which would keep the body in memory a second time
    return body


def uncompressed(request: Request, body: bytes, max_bytes: int) -> bytes:
    """Returns the body of a request without its compression, if the header says that it is in gzip.

    A body of 32 KB can have 32 MB without its compression, so call this only for as many requests at once as the
    memory has room for.

    Raises:
        RequestError: If it has more than `max_bytes`, or is not one complete gzip stream.
    """
    # TensorFlow Serving too looks for these letters anywhere in the header.
    if "gzip" not in request.headers.get("content-encoding", ""):
        return body
    gzip = zlib.decompressobj(zlib.MAX_WBITS + 16)
    try:
        content = gzip.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise _no_gzip(str(error)) from None
    _check_length(len(content), max_bytes)
    if not gzip.eof:
        raise _no_gzip("a part of it")
    if gzip.unused_data:
        raise _no_gzip("data behind it")
    return content


def _no_gzip(received: str) -> RequestError:
    return RequestError(
        StatusCode.INVALID_ARGUMENT,
        f"The body must be one complete gzip stream, since the header Content-Encoding says gzip. Received: {received}",
    )


def _check_length(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        raise RequestError(
            StatusCode.INVALID_ARGUMENT,
            f"The body of the request must have at most {max_bytes} bytes. Received: at least {length} bytes",
            413,
        )


def check_origin(request: Request, host: str) -> None:
    """Checks that no web page of another site sends the request, through the browser of somebody on this machine.

    Args:
        request: The request.
        host: The address that the server listens on. If it is of this machine alone, the request must name it so,
            because the owner of any other name can point it here.

    Raises:
        RequestError: If the request comes from another site.
    """
    named = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if origin is not None and _netloc(origin) != named:
        raise RequestError(
            StatusCode.PERMISSION_DENIED, f"Only pages of this server may send requests. Received: Origin: {origin}"
        )
    if named and is_loopback(host) and not is_loopback(_hostname(named)):
        raise RequestError(
            StatusCode.PERMISSION_DENIED, f"The server must be called localhost or {host}. Received: Host: {named}"
        )


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _hostname(named: str) -> str:
    try:
        return urlsplit(f"//{named}").hostname or ""
    except ValueError:  # such as a bracket that does not close
        return ""

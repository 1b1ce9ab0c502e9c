"""What all HTTP requests need: their bodies within a limit, and the check where they come from."""

import asyncio
import ipaddress
from urllib.parse import urlsplit

from grpc import StatusCode
from starlette.requests import ClientDisconnect, Request

from ikelos.serving.server.errors import RequestError

_MOST_DISCARDED = 2**30
_SECONDS = 60.0


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Returns the body of a request.

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
    if length > max_bytes:
        raise RequestError(
            StatusCode.INVALID_ARGUMENT,
            f"The body of the request must have at most {max_bytes} bytes. Received: at least {length} bytes",
            413,
        )
    return b"".join(parts)


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
    if origin is not None and urlsplit(origin).netloc != named:
        raise RequestError(
            StatusCode.PERMISSION_DENIED, f"Only pages of this server may send requests. Received: Origin: {origin}"
        )
    if named and is_loopback(host) and not is_loopback(urlsplit(f"//{named}").hostname or ""):
        raise RequestError(
            StatusCode.PERMISSION_DENIED, f"The server must be called localhost or {host}. Received: Host: {named}"
        )


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

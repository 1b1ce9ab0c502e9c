"""Clients of TensorFlow Serving that need no TensorFlow: gRPC and REST, blocking and for asyncio.

`Client` and `AsyncClient` have the same methods and give the same results over either protocol. Errors are subclasses
of `ServingError`.
"""

from ikelos.serving.client.client import AsyncClient, Client
from ikelos.serving.client.core import DEFAULT_TIMEOUT
from ikelos.serving.client.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ServerError,
    ServingError,
    Unavailable,
    Unimplemented,
)
from ikelos.serving.client.retry import Retry
from ikelos.serving.client.transport import MAX_MESSAGE_BYTES, TLS, VersionStatus
from ikelos.serving.media import save

__all__ = [
    "DEFAULT_TIMEOUT",
    "MAX_MESSAGE_BYTES",
    "TLS",
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Retry",
    "ServerError",
    "ServingError",
    "Unavailable",
    "Unimplemented",
    "VersionStatus",
    "save",
]

"""Errors of requests, with gRPC's codes."""

import logging

from grpc import StatusCode

from ikelos.serving.protocol import rest
from ikelos.serving.stock import StockError

_log = logging.getLogger(__name__)
_LONGEST = 1000
"""Characters of a message."""
_BY_NUMBER = {code.value[0]: code for code in StatusCode}


class RequestError(Exception):
    """Raised for a request that cannot be answered.

    Attributes:
        code: The gRPC code.
        message: What was wrong, for the client.
        http_status: The HTTP status.
        retry_after: Seconds after which the client may try again; None if it should not.
    """

    def __init__(self, code: StatusCode, message: str, http_status: int | None = None, retry_after: int | None = None):
        # A message may show what came, which may be long; gRPC sends it in a header of at most 8 KB.
        self.message = message if len(message) <= _LONGEST else message[:_LONGEST] + " ..."
        super().__init__(self.message)
        self.code, self.retry_after = code, retry_after
        self.http_status = http_status or rest.STATUS[code.name]


def unexpected(error: Exception, request: str) -> RequestError:
    """Logs an error that should not have happened, and returns what the client is told.

    Args:
        error: The error.
        request: The request in which it happened.
    """
    _log.error("%s: %s: %s", request, type(error).__name__, error)
    return RequestError(StatusCode.INTERNAL, "The server failed; its log says why")


def code_of(error: Exception) -> StatusCode:
    """Returns the code of an error of `StockModel`. A ValueError is about the inputs."""
    if isinstance(error, StockError):
        return _BY_NUMBER.get(error.code, StatusCode.UNKNOWN)
    return StatusCode.INVALID_ARGUMENT if isinstance(error, ValueError) else StatusCode.INTERNAL

"""The errors of a client: one class for each thing that a caller can do about them."""


class ServingError(Exception):
    """Error of a call to a model server, with the server's message.

    Attributes:
        code: gRPC's name of the status, such as `INVALID_ARGUMENT`, over REST too.
        retryable: Whether the same call may succeed a little later.
        retry_after: Seconds after which the server asks for the next try, or None.
    """

    def __init__(self, message: str, code: str, retryable: bool = False, retry_after: float | None = None):
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.retry_after = retry_after


class InvalidArgument(ServingError, ValueError):  # noqa: N818, gRPC's name, as of all subclasses
    """The request is wrong, and will be wrong again. Many are found before anything is sent."""


class NotFound(ServingError, LookupError):  # noqa: N818
    """The server has no such model, version or label."""


class PermissionDenied(ServingError, PermissionError):  # noqa: N818
    """The server does not know the caller, or does not let it make this call."""


class ResourceExhausted(ServingError):  # noqa: N818
    """The server has too much to do, or a message is too large."""


class Unavailable(ServingError, ConnectionError):  # noqa: N818
    """There is no server, or it cannot answer now."""


class DeadlineExceeded(ServingError, TimeoutError):  # noqa: N818
    """The call took longer than its timeout."""


class Unimplemented(ServingError, NotImplementedError):  # noqa: N818
    """The server does not know this kind of call."""


class ServerError(ServingError):
    """The server failed in another way; `code` says how."""


_CLASSES: dict[str, type[ServingError]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "FAILED_PRECONDITION": InvalidArgument,
    "OUT_OF_RANGE": InvalidArgument,
    "NOT_FOUND": NotFound,
    "PERMISSION_DENIED": PermissionDenied,
    "UNAUTHENTICATED": PermissionDenied,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": Unimplemented,
}


def error_of(code: str, message: str, retryable: bool = False, retry_after: float | None = None) -> ServingError:
    """Returns the error of one of gRPC's status codes."""
    return _CLASSES.get(code, ServerError)(message or code, code, retryable, retry_after)


def invalid(message: str) -> InvalidArgument:
    """Returns the error of a request that is wrong."""
    return InvalidArgument(message, "INVALID_ARGUMENT")

"""The two clients: `Client` blocks, `AsyncClient` is for asyncio."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ikelos.serving.client.core import DEFAULT_TIMEOUT, Core, iterate, run
from ikelos.serving.client.retry import Retry
from ikelos.serving.client.transport import MAX_MESSAGE_BYTES, TLS, Target, Transport, VersionStatus
from ikelos.serving.protocol.metadata import Signatures
from ikelos.serving.protocol.rest import DEFAULT_SIGNATURE


class Client:
    """Blocking client of one model on a TensorFlow Serving.

    Connections are opened at the first call and kept. Threads may share a client. Each call has a timeout, which spans
    all its tries.

    Args:
        server: Address, `HOST:PORT`. TensorFlow Serving's ports are 8500 for gRPC and 8501 for REST.
        model: Name of the model.
        rest: Whether to use REST instead of gRPC. gRPC is faster and takes all dtypes.
        version: Number of a version; None for the newest.
        label: Label of a version, such as `stable`, in place of `version`.
        tls: Encryption of the connection; None for none.
        timeout: Seconds for a call that gives no timeout of its own.
        retry: When a failed call is tried again.
        max_message_bytes: Most bytes of a request or a response; a larger one is a `ResourceExhausted`.

    Raises:
        ValueError: If an argument is invalid.
        ImportError: If grpcio or, for REST, httpx is not installed.
        OSError: If a file of `tls` cannot be read.

    Example:
        >>> with Client("localhost:8500", "lm") as client:
        ...     client.predict({"text": ["Now is the winter"]})
    """

    def __init__(
        self,
        server: str,
        model: str,
        *,
        rest: bool = False,
        version: int | None = None,
        label: str | None = None,
        tls: TLS | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: Retry = Retry(),  # noqa: B008, it cannot be changed
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ):
        target = Target(server, model, version, label, tls, max_message_bytes)
        self._core = Core(_transport(target, rest, blocking=True), timeout, retry)

    def predict(
        self, inputs: Mapping[str, Any], signature: str = DEFAULT_SIGNATURE, timeout: float | None = None
    ) -> dict[str, np.ndarray]:
        """Runs a signature of the model on a batch.

        Args:
            inputs: A value for every input: an array of the input's dtype, or nested lists with text as str or bytes.
                The first call asks the server for the dtypes. If the name of an input ends in `_bytes`, a str is the
                path of a file, whose content is sent. An array must not change until the call returns, since a retry
                sends it again.
            signature: Name of the signature.
            timeout: Seconds, with all tries.

        Returns:
            The outputs by name; strings are object arrays of bytes. `save` writes outputs of bytes to files.

        Raises:
            ServingError: If the call fails; `InvalidArgument` if the signature or an input is wrong, mostly before
                anything is sent.
            OSError: If the file of an input cannot be read.
        """
        return run(self._core.predict(inputs, signature, timeout))

    def metadata(self, timeout: float | None = None) -> Signatures:
        """Returns the signatures: `{name: {"inputs": {name: (dtype, shape)}, "outputs": {name: (dtype, shape)}}}`.

        A shape is a tuple with None for any size, or None for any rank. `predict` keeps to the signatures that were
        fetched last: if a new version of the model has others, call this once.

        Args:
            timeout: Seconds, with all tries.

        Raises:
            ServingError: If the call fails.
        """
        return run(self._core.metadata(timeout))

    def status(self, timeout: float | None = None) -> list[VersionStatus]:
        """Returns the state of the versions that the server has, the newest first.

        Args:
            timeout: Seconds, with all tries.

        Raises:
            ServingError: If the call fails.
        """
        return run(self._core.status(timeout))

    def wait_until_ready(self, timeout: float | None = None) -> int | None:
        """Waits until the server runs and has loaded the model, and returns the version that answers if it says so.

        Args:
            timeout: Seconds.

        Raises:
            ServingError: If the call fails; `DeadlineExceeded`, with the last state, if the model is not ready in time.
        """
        return run(self._core.wait_until_ready(timeout))

    def stream(
        self,
        prompt: str | bytes,
        length: int = 128,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Iterator[str]:
        """Yields a continuation of a prompt piece by piece, as it is made.

        The model must have the signatures `prefill`, `decode_step` and `detokenize`; the client chooses each token.
        Pieces end between characters and never contain a part of a stop string. Together they are the text. It is all
        made by the version that the server had at first; if the server unloads it, the stream ends with `NotFound`.

        Args:
            prompt: The text to continue.
            length: Most tokens to make. The model may end the text earlier.
            temperature: At least 0; 0 takes the likeliest token.
            top_k: Number of the likeliest tokens to draw from; 0 draws from all.
            top_p: Probability in (0, 1] that the likeliest tokens to draw from must reach together.
            seed: Seed of the draws; None for other draws each time.
            stop: Strings that end the text and do not belong to it.
            timeout: Seconds for each call to the server, three for each token at most.

        Raises:
            ServingError: If a call fails, or an argument is wrong.
        """
        return iterate(
            self._core.stream(
                prompt,
                length,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                seed=seed,
                stop=stop,
                timeout=timeout,
            )
        )

    def close(self) -> None:
        """Closes the connections. A second call does nothing."""
        run(self._core.close())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class AsyncClient(Core):
    """Client of one model on a TensorFlow Serving for asyncio: `Client` with coroutines, and `async for` over `stream`.

    Args:
        server: As for `Client`, like the other arguments.
        model: Name of the model.
        rest: Whether to use REST instead of gRPC.
        version: Number of a version; None for the newest.
        label: Label of a version, in place of `version`.
        tls: Encryption of the connection; None for none.
        timeout: Seconds for a call that gives no timeout of its own.
        retry: When a failed call is tried again.
        max_message_bytes: Most bytes of a request or a response.

    Raises:
        ValueError: If an argument is invalid.
        ImportError: If grpcio or, for REST, httpx is not installed.
        OSError: If a file of `tls` cannot be read.

    Example:
        >>> async with AsyncClient("localhost:8500", "lm") as client:
        ...     async for piece in client.stream("To be"):
        ...         print(piece, end="", flush=True)
    """

    def __init__(
        self,
        server: str,
        model: str,
        *,
        rest: bool = False,
        version: int | None = None,
        label: str | None = None,
        tls: TLS | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: Retry = Retry(),  # noqa: B008, it cannot be changed
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ):
        target = Target(server, model, version, label, tls, max_message_bytes)
        super().__init__(_transport(target, rest, blocking=False), timeout, retry)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.close()


def _transport(target: Target, rest: bool, blocking: bool) -> Transport:
    # Here, because each needs a package that the other does not.
    if rest:
        from ikelos.serving.client.rest_transport import AsyncRestTransport, RestTransport

        return RestTransport(target) if blocking else AsyncRestTransport(target)
    from ikelos.serving.client.grpc_transport import AsyncGrpcTransport, GrpcTransport

    return GrpcTransport(target) if blocking else AsyncGrpcTransport(target)

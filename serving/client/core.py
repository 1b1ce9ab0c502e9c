"""What a client does, without how it reaches the server: the same code for gRPC and REST, blocking and asyncio."""

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ikelos.serving.client.errors import DeadlineExceeded, NotFound, Unavailable, error_of, invalid
from ikelos.serving.client.retry import Retry, with_retries
from ikelos.serving.client.sampling import Sampling
from ikelos.serving.client.streaming import TextStream
from ikelos.serving.client.transport import Transport, VersionStatus
from ikelos.serving.media import with_contents
from ikelos.serving.protocol.metadata import Signatures
from ikelos.serving.protocol.rest import DEFAULT_SIGNATURE
from ikelos.serving.values import input_arrays

DEFAULT_TIMEOUT = 60.0
"""Seconds for a call with all its tries, if the caller says nothing else."""
END = 2
"""Token that ends a text."""
_READY_WAITS = Retry(first=0.1, longest=1.0)
STEPWISE = ("prefill", "decode_step", "detokenize")
"""Signatures that a model needs so that a client can write a text token by token."""

Result = TypeVar("Result")


class Core:
    """The methods of a client as coroutines over a transport."""

    def __init__(self, transport: Transport, timeout: float, retry: Retry):
        if not timeout > 0:
            raise ValueError(f"`timeout` must be above 0. Received: timeout={timeout}")
        self._open_transport: Transport | None = transport
        self._timeout = timeout
        self._retry = retry
        self._signatures: Signatures | None = None

    async def predict(
        self,
        inputs: Mapping[str, Any],
        signature: str = DEFAULT_SIGNATURE,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature; see `Client.predict`."""
        end = time.monotonic() + self._seconds(timeout)
        signatures = self._signatures or await self.metadata(timeout)
        if signature not in signatures:
            raise invalid(f"`signature` must be one of {sorted(signatures)}. Received: signature={signature!r}")
        sides = signatures[signature]
        contents = {name: with_contents(name, value) for name, value in inputs.items()}
        try:
            arrays = input_arrays(signature, contents, sides["inputs"])
        except ValueError as error:
            raise invalid(str(error)) from None
        return await self._call(
            lambda seconds: self._transport.predict(signature, arrays, sides["outputs"], seconds),
            end - time.monotonic(),
        )

    async def metadata(self, timeout: float | None = None) -> Signatures:
        """Returns the signatures; see `Client.metadata`."""
        self._signatures = await self._call(self._transport.metadata, self._seconds(timeout))
        return self._signatures

    async def status(self, timeout: float | None = None) -> list[VersionStatus]:
        """Returns the state of the versions; see `Client.status`."""
        return await self._call(self._transport.status, self._seconds(timeout))

    async def wait_until_ready(self, timeout: float | None = None) -> int | None:
        """Waits for the model; see `Client.wait_until_ready`."""
        seconds = self._seconds(timeout)
        end = time.monotonic() + seconds
        tries, last = 0, ""
        while True:
            tries += 1
            try:
                statuses = await self._transport.status(max(end - time.monotonic(), 0.0))
                if any(status.state == "AVAILABLE" for status in statuses):
                    # The status does not say which version has the label, or is the newest at this moment.
                    return await self._transport.version(max(end - time.monotonic(), 0.0))
                last = f"The server has the versions {statuses}"
            except (NotFound, Unavailable) as error:
                last = str(error)
            except DeadlineExceeded as error:  # which says less than an earlier answer
                last = last or str(error)
            wait = _READY_WAITS.wait(tries)
            if time.monotonic() + wait >= end:
                raise DeadlineExceeded(f"The model was not ready within {seconds:.3g} s. {last}", "DEADLINE_EXCEEDED")
            await self._transport.sleep(wait)

    async def stream(
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
    ) -> AsyncGenerator[str, None]:
        """Yields a continuation as it is made; see `Client.stream`."""
        if length < 0:
            raise invalid(f"`length` must be at least 0. Received: length={length}")
        try:
            sampling, pieces = Sampling(temperature, top_k, top_p), TextStream(stop)
        except ValueError as error:
            raise invalid(str(error)) from None
        # The state of one version means nothing to another, and the server may load one at any moment.
        version = await self._call(self._transport.version, self._seconds(timeout))
        transport = self._transport if version is None else self._transport.at(version)
        model = Core(transport, self._timeout, self._retry)
        signatures = await model.metadata(timeout)
        if missing := [name for name in STEPWISE if name not in signatures]:
            raise invalid(f"The model must have the signatures {', '.join(STEPWISE)}. It lacks: {', '.join(missing)}")
        uniforms = random.Random(seed)
        tokens: list[int] = []
        text, state = "", await model.predict({"prompt": [prompt]}, "prefill", timeout)
        while len(tokens) < length and not pieces.stopped:
            if tokens:
                inputs = {"token": np.array(tokens[-1:], np.int32), **state}
                state = await model.predict(inputs, "decode_step", timeout)
            token = sampling.choose(state.pop("logits")[0], uniforms.random())
            if token == END:
                break
            tokens.append(token)
            # All tokens each time: the text of a token depends on those before it.
            texts = await model.predict({"tokens": [tokens]}, "detokenize", timeout)
            text = texts["text"][0].decode(errors="replace")
            if piece := _push(pieces, text, ended=False):
                yield piece
        if not pieces.stopped and (piece := _push(pieces, text, ended=True)):
            yield piece

    async def close(self) -> None:
        """Closes the connections. A second call does nothing."""
        transport, self._open_transport = self._open_transport, None
        if transport is not None:
            await transport.close()

    @property
    def _transport(self) -> Transport:
        if self._open_transport is None:
            raise RuntimeError("The client has been closed")
        return self._open_transport

    async def _call(self, call: Callable[[float], Awaitable[Result]], timeout: float) -> Result:
        return await with_retries(call, timeout, self._retry, self._transport.sleep)

    def _seconds(self, timeout: float | None) -> float:
        if timeout is not None and not timeout > 0:
            raise invalid(f"`timeout` must be above 0. Received: timeout={timeout}")
        return self._timeout if timeout is None else timeout


def run(coroutine: Any) -> Any:
    """Returns the result of a coroutine over a blocking transport, which never suspends, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("A blocking transport must not suspend")


def iterate(values: AsyncGenerator[Result, None]) -> Iterator[Result]:
    """Yields the values of an asynchronous generator over a blocking transport."""
    try:
        while True:
            try:
                value = run(values.__anext__())
            except StopAsyncIteration:
                return
            yield value
    finally:
        run(values.aclose())


def _push(pieces: TextStream, text: str, ended: bool) -> str:
    try:
        return pieces.push(text, ended)
    except ValueError as error:
        raise error_of("INTERNAL", f"Signature 'detokenize': {error}") from None

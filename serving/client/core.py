"""What a client does, without how it reaches the server: the same code for gRPC and REST, blocking and asyncio."""

import random
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ikelos.serving.client.errors import DeadlineExceeded, NotFound, Unavailable, error_of, invalid
from ikelos.serving.client.retry import Retry, with_retries
from ikelos.serving.client.sampling import Sampling
from ikelos.serving.client.streaming import TextStream
from ikelos.serving.client.transport import Transport, VersionStatus
from ikelos.serving.media import with_contents
from ikelos.serving.protocol.metadata import Signatures
from ikelos.serving.protocol.rest import DEFAULT_SIGNATURE, Specs
from ikelos.serving.values import DTYPES, to_array

DEFAULT_TIMEOUT = 60.0
"""Seconds for a call with all its tries, if the caller says nothing else."""
END = 2
"""Token that ends a text."""
_READY_WAITS = Retry(first=0.1, longest=1.0)
_STEPWISE = ("prefill", "decode_step", "detokenize")

Result = TypeVar("Result")


class Core:
    """The methods of a client as coroutines over a transport."""

    def __init__(self, transport: Transport, timeout: float, retry: Retry):
        if not timeout > 0:
            raise ValueError(f"`timeout` must be above 0. Received: timeout={timeout}")
        self._transport = transport
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
        arrays = _arrays(signature, inputs, sides["inputs"])
        return await with_retries(
            lambda seconds: self._transport.predict(signature, arrays, sides["outputs"], seconds),
            end - time.monotonic(),
            self._retry,
            self._transport.sleep,
        )

    async def metadata(self, timeout: float | None = None) -> Signatures:
        """Returns the signatures; see `Client.metadata`."""
        self._signatures = await self._call(self._transport.metadata, timeout)
        return self._signatures

    async def status(self, timeout: float | None = None) -> list[VersionStatus]:
        """Returns the state of the versions; see `Client.status`."""
        return await self._call(self._transport.status, timeout)

    async def wait_until_ready(self, timeout: float | None = None) -> int:
        """Waits for the model; see `Client.wait_until_ready`."""
        seconds = self._seconds(timeout)
        end = time.monotonic() + seconds
        tries = 0
        while True:
            tries += 1
            try:
                statuses = await self._transport.status(max(end - time.monotonic(), 0.001))
                available = [status.version for status in statuses if status.state == "AVAILABLE"]
                if available:
                    return available[0]
                last = f"The server has the versions {statuses}"
            except (NotFound, Unavailable) as error:
                last = str(error)
            wait = _READY_WAITS.wait(tries)
            if time.monotonic() + wait >= end:
                raise DeadlineExceeded(f"The model was not ready within {seconds:.3g} s. {last}", "DEADLINE_EXCEEDED")
            await self._transport.sleep(wait)

    async def stream(
        self,
        prompt: str | bytes,
        length: int = 128,
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
        signatures = self._signatures or await self.metadata(timeout)
        if missing := [name for name in _STEPWISE if name not in signatures]:
            raise invalid(f"The model must have the signatures {', '.join(_STEPWISE)}. It lacks: {', '.join(missing)}")
        uniforms = random.Random(seed)
        tokens: list[int] = []
        text, state = "", await self.predict({"prompt": [prompt]}, "prefill", timeout)
        while len(tokens) < length and not pieces.stopped:
            if tokens:
                state = await self.predict({"token": np.array(tokens[-1:], np.int32), **state}, "decode_step", timeout)
            token = sampling.choose(state.pop("logits")[0], uniforms.random())
            if token == END:
                break
            tokens.append(token)
            # All tokens each time: the text of a token depends on those before it.
            texts = await self.predict({"tokens": [tokens]}, "detokenize", timeout)
            text = texts["text"][0].decode(errors="replace")
            if piece := _push(pieces, text, ended=False):
                yield piece
        if not pieces.stopped and (piece := _push(pieces, text, ended=True)):
            yield piece

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def _call(self, call: Any, timeout: float | None) -> Any:
        return await with_retries(call, self._seconds(timeout), self._retry, self._transport.sleep)

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


def _arrays(signature: str, inputs: Mapping[str, Any], specs: Specs) -> dict[str, np.ndarray]:
    """Returns the inputs as arrays of the dtypes that the signature asks for."""
    if set(inputs) != set(specs):
        raise invalid(f"Signature {signature!r} must get the inputs {sorted(specs)}. Received: {sorted(inputs)}")
    arrays = {}
    for name, (dtype, shape) in specs.items():
        label = f"Signature {signature!r}: input {name!r}"
        if dtype not in DTYPES:
            raise invalid(f"{label} must have one of the dtypes {', '.join(DTYPES)}. Received: {dtype}")
        try:
            arrays[name] = to_array(label, with_contents(name, inputs[name]), dtype, shape)
        except ValueError as error:
            raise invalid(str(error)) from None
    return arrays


def _push(pieces: TextStream, text: str, ended: bool) -> str:
    try:
        return pieces.push(text, ended)
    except ValueError as error:
        raise error_of("INTERNAL", f"Signature 'detokenize': {error}") from None

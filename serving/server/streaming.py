"""Writes a text token by token, with a model that has the signatures `prefill`, `decode_step` and `detokenize`."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import numpy as np
from grpc import StatusCode

from ikelos.serving.client.core import STEPWISE, Core
from ikelos.serving.client.errors import ServingError
from ikelos.serving.client.retry import Retry
from ikelos.serving.client.transport import Suspending, VersionStatus
from ikelos.serving.protocol.metadata import Signatures
from ikelos.serving.protocol.rest import Specs
from ikelos.serving.server.engine import Call, Engine
from ikelos.serving.server.errors import RequestError
from ikelos.serving.server.versions import Version


def can_stream(signatures: Signatures) -> bool:
    """Returns whether a model with these signatures can write token by token."""
    if not all(name in signatures for name in STEPWISE):
        return False
    state = set(signatures["prefill"]["outputs"]) - {"logits"}
    return set(signatures["decode_step"]["inputs"]) == {"token", *state}


async def stream(engine: Engine, call: Call, version: Version, options: Mapping[str, Any]) -> AsyncGenerator[str, None]:
    """Yields a text piece by piece, without the prompt.

    Args:
        engine: The engine.
        call: The request, whose deadline ends the text.
        version: The version, which must be leased.
        options: The arguments of `ikelos.serving.client.Client.stream`.

    Raises:
        RequestError: If an option is wrong, the model has not the signatures, or the time is over.
    """
    writer = Core(_Local(engine, call, version), engine.settings.timeout, Retry(tries=1))
    try:
        async for piece in writer.stream(**options):
            yield piece
    except ServingError as error:
        raise RequestError(StatusCode[error.code], str(error)) from error
    except TypeError as error:
        raise RequestError(StatusCode.INVALID_ARGUMENT, f"The options of the text are wrong ({error})") from error


class _Local(Suspending):
    """Transport to a version in this process."""

    def __init__(self, engine: Engine, call: Call, version: Version):
        self._engine, self._call, self._version = engine, call, version

    async def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: Specs, timeout: float
    ) -> dict[str, np.ndarray]:
        return await self._engine.predict(self._call, self._version, signature, inputs)

    async def metadata(self, timeout: float) -> Signatures:
        return self._version.signatures

    async def status(self, timeout: float) -> list[VersionStatus]:
        return []

    async def close(self) -> None:
        """Does nothing."""

"""Answers requests, whatever protocol they came by: admits, checks, runs and counts them."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from grpc import StatusCode

from ikelos.serving.server.errors import RequestError, code_of
from ikelos.serving.server.manager import Manager
from ikelos.serving.server.metrics import Metrics
from ikelos.serving.server.scheduler import Scheduler
from ikelos.serving.server.settings import Settings
from ikelos.serving.server.versions import Version
from ikelos.serving.stock import StockError, complaint

_RETRY_AFTER = 1
"""Seconds that a refused client should wait."""
_MOST_PARSING = 2
"""Most bodies of JSON that are read at once."""


@dataclasses.dataclass
class Call:
    """A request while it is answered.

    Attributes:
        deadline: Value of `time.monotonic` at which the client gives up.
        model: Name of the model, once it is known to exist.
        signature: Name of the signature, once it is known to exist.
    """

    deadline: float
    model: str = ""
    signature: str = ""

    def seconds_left(self) -> float:
        """Returns the seconds until the deadline, at least 0."""
        return max(self.deadline - time.monotonic(), 0)


class Engine:
    """Answers requests by the models of a manager, within the limits of the settings.

    Attributes:
        manager: The models.
        metrics: What is counted.
        settings: The settings.
        parsing: Held while a body of JSON is read, which may take 20 times its size of memory.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.manager = Manager(settings.path, settings.labels, settings.library)
        self.metrics = Metrics(lambda: [v for known in self.manager.models.values() for v in known.values()])
        self._scheduler = Scheduler(settings.concurrency, settings.max_batch, settings.batch_delay, self.metrics.ran)
        self.parsing = asyncio.Semaphore(_MOST_PARSING)
        self._inside = 0

    @contextlib.contextmanager
    def call(self, entrypoint: str, seconds: float | None = None) -> Iterator[Call]:
        """Context manager that admits and counts a request, and yields it.

        Args:
            entrypoint: `REST`, `gRPC` or `page`.
            seconds: Time that the client waits, if it says so.

        Raises:
            RequestError: If there are too many requests.
        """
        began = time.monotonic()
        wait = self.settings.timeout if seconds is None else min(seconds, self.settings.timeout)
        call, status = Call(began + wait), StatusCode.OK
        try:
            with self._admitted():
                yield call
        except RequestError as error:
            status = error.code
            raise
        except asyncio.CancelledError:
            status = StatusCode.CANCELLED
            raise
        except Exception:
            status = StatusCode.INTERNAL
            raise
        finally:
            self.metrics.answered(call.model, call.signature, entrypoint, status.name, time.monotonic() - began)

    @contextlib.contextmanager
    def version(self, call: Call, name: str, number: int | None = None, label: str | None = None) -> Iterator[Version]:
        """Context manager that yields a version, as `Manager.find` does, which is not freed before the end.

        Raises:
            RequestError: If there is none.
        """
        version = self.manager.find(name, number, label)
        call.model = name
        with version.lease():
            yield version

    async def predict(
        self, call: Call, version: Version, signature: str, inputs: Mapping[str, object], wanted: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Returns outputs of a signature of a version.

        Args:
            call: The request.
            version: The version, which must be available.
            signature: Name of its signature.
            inputs: A value for each input, as `StockModel.run` takes it.
            wanted: Names of the outputs to return; if there are none, all are returned.

        Raises:
            RequestError: If the request is wrong, or the model cannot be run in time.
        """
        sides = self.signature(call, version, signature)
        _check_wanted(wanted, sides["outputs"])
        try:
            with version.lease() as model:
                async with asyncio.timeout(call.seconds_left()):
                    arrays = await asyncio.to_thread(model.check, signature, inputs)
                    self._check_rows(arrays)
                    outputs = await self._scheduler.run(version, signature, arrays, call.deadline)
        except TimeoutError:
            raise _too_late(signature) from None
        except ValueError as error:
            raise RequestError(StatusCode.INVALID_ARGUMENT, str(error)) from error
        except StockError as error:
            code = code_of(error)
            if code is StatusCode.DEADLINE_EXCEEDED:  # TensorFlow watches the same deadline
                raise _too_late(signature) from None
            raise RequestError(code, f"Signature {signature!r}: {complaint(str(error))}") from error
        return {name: outputs[name] for name in wanted or outputs}

    def signature(self, call: Call, version: Version, name: str) -> Mapping[str, Mapping]:
        """Returns the inputs and outputs of a signature, as `StockModel.signatures` has them.

        Raises:
            RequestError: If there is none of this name.
        """
        if name not in version.signatures:
            raise RequestError(
                StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found. There are: {", ".join(sorted(version.signatures))}',
            )
        call.signature = name
        return version.signatures[name]

    async def close(self) -> None:
        """Waits for the runs that are under way, and frees the models."""
        await self._scheduler.close()
        await self.manager.close()

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        most = self.settings.max_requests
        if self._inside >= most:
            message = f"The server has {most} requests, its maximum: try again later"
            raise RequestError(StatusCode.RESOURCE_EXHAUSTED, message, retry_after=_RETRY_AFTER)
        self._inside += 1
        self.metrics.in_flight.set(self._inside)
        try:
            yield
        finally:
            self._inside -= 1
            self.metrics.in_flight.set(self._inside)

    def _check_rows(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            if array.ndim and len(array) > self.settings.max_rows:
                raise RequestError(
                    StatusCode.INVALID_ARGUMENT,
                    f"Input {name!r} must have at most {self.settings.max_rows} rows. Received: {len(array)} rows",
                )


def _too_late(signature: str) -> RequestError:
    message = f"Signature {signature!r}: the deadline of the request has passed"
    return RequestError(StatusCode.DEADLINE_EXCEEDED, message)


def _check_wanted(wanted: Sequence[str], outputs: Mapping[str, object]) -> None:
    for name in wanted:
        if name not in outputs:
            raise RequestError(
                StatusCode.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(sorted(outputs))}}}.",
            )
        if list(wanted).count(name) > 1:
            raise RequestError(StatusCode.INVALID_ARGUMENT, f"duplicate output tensor alias: {name}")

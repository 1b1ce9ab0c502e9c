"""Runs requests on models in threads, a bounded number at once, and merges those that fit together into one run."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ikelos.serving.server.versions import Version
from ikelos.serving.stock import StockModel

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Request:
    """Inputs of one request, which are checked, and the future that gets its outputs or error."""

    inputs: Arrays
    rows: int
    deadline: float  # of `time.monotonic`
    future: asyncio.Future

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


class _Batch:
    """Requests that one run will answer."""

    def __init__(self):
        self.requests: list[_Request] = []
        self.full = asyncio.Event()

    @property
    def rows(self) -> int:
        return sum(request.rows for request in self.requests)


class Scheduler:
    """Runs models in threads.

    A request waits in line for one of `concurrency` threads. Requests of the same version, signature and shapes that
    wait at the same time are merged, if each row of the outputs has the same shape whatever the other rows are. Must be
    made and used in the thread of the event loop.

    Args:
        concurrency: Most runs at once.
        max_batch: Most rows of a merged run; 1 merges nothing.
        delay: Seconds that a request waits for others before it waits for a thread.
        observe: Called with the version, the signature and the rows of each run.
    """

    def __init__(self, concurrency: int, max_batch: int, delay: float, observe: Callable[[Version, str, int], None]):
        self._max_batch, self._delay, self._observe = max_batch, delay, observe
        self._free = asyncio.Semaphore(concurrency)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="model")
        self._open: dict[tuple, _Batch] = {}
        self._tasks: set[asyncio.Task] = set()

    async def run(self, version: Version, signature: str, inputs: Arrays, deadline: float) -> dict[str, np.ndarray]:
        """Returns the outputs of one request.

        Args:
            version: An available version.
            signature: Its signature.
            inputs: Arrays that `StockModel.check` returned.
            deadline: Value of `time.monotonic` at which TensorFlow cancels the run.

        Raises:
            StockError: If TensorFlow cannot run the model on the inputs.
        """
        sizes = {len(array) for array in inputs.values() if array.ndim}
        rows = max(sizes, default=1)
        request = _Request(inputs, rows, deadline, asyncio.get_running_loop().create_future())
        key = None
        if rows < self._max_batch and len(sizes) == 1 and version.model and is_mergeable(version.model, signature):
            key = (version, signature, *((name, array.shape[1:]) for name, array in sorted(inputs.items())))
        batch = self._open.get(key) if key else None
        if batch is None or batch.rows + rows > self._max_batch:
            batch = _Batch()
            if key:
                self._open[key] = batch
            # In a task of its own, since the client may give up while the run goes on.
            leased = contextlib.ExitStack()
            model = leased.enter_context(version.lease())
            task = asyncio.create_task(self._run(leased, key, batch, version, signature, model))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        batch.requests.append(request)
        if batch.rows >= self._max_batch:
            batch.full.set()
        return await request.future

    async def close(self) -> None:
        """Waits for the runs that are under way."""
        await asyncio.gather(*self._tasks)
        self._threads.shutdown()

    async def _run(
        self,
        leased: contextlib.ExitStack,
        key: tuple | None,
        batch: _Batch,
        version: Version,
        signature: str,
        model: StockModel,
    ) -> None:
        with leased:
            if key and self._delay:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(batch.full.wait(), self._delay)
            async with self._free:
                if key and self._open.get(key) is batch:
                    del self._open[key]
                # Those of clients that gave up are done.
                requests = [request for request in batch.requests if not request.future.done()]
                if not requests:
                    return
                self._observe(version, signature, sum(request.rows for request in requests))
                loop = asyncio.get_running_loop()
                try:
                    results = await loop.run_in_executor(self._threads, _answer, model, signature, requests)
                except Exception as error:  # or the requests would wait for ever
                    results = [error] * len(requests)
        for request, result in zip(requests, results, strict=True):
            if request.future.done():
                continue
            if isinstance(result, Exception):
                request.future.set_exception(result)
            else:
                request.future.set_result(result)


def is_mergeable(model: StockModel, signature: str) -> bool:
    """Returns whether requests of a signature may be merged.

    All inputs and outputs must be batch-first, and the other sizes of the outputs fixed: if an output is as long as the
    longest row of the batch, a request would get the padding of another.
    """
    sides = model.signatures[signature]
    inputs = [shape for _, shape in sides["inputs"].values()]
    outputs = [shape for _, shape in sides["outputs"].values()]
    if not inputs or not all(shape and shape[0] is None for shape in (*inputs, *outputs)):
        return False
    return not any(size is None for shape in outputs for size in (shape or ())[1:])


def _answer(model: StockModel, signature: str, requests: Sequence[_Request]) -> list[dict[str, np.ndarray] | Exception]:
    """Returns the outputs or the error of each request."""
    if len(requests) > 1:
        names = requests[0].inputs
        timeout = max(request.seconds_left() for request in requests)
        with contextlib.suppress(Exception):  # one request may be at fault, which must not fail the others
            merged = {name: np.concatenate([request.inputs[name] for request in requests]) for name in names}
            outputs = model.run(signature, merged, max(timeout, 0))
            if all(len(array) == sum(request.rows for request in requests) for array in outputs.values()):
                return _split(outputs, requests)
    return [_answer_one(model, signature, request) for request in requests]


def _answer_one(model: StockModel, signature: str, request: _Request) -> dict[str, np.ndarray] | Exception:
    try:
        return model.run(signature, request.inputs, max(request.seconds_left(), 0))
    except Exception as error:
        return error


def _split(outputs: Arrays, requests: Sequence[_Request]) -> list[dict[str, np.ndarray] | Exception]:
    ends = np.cumsum([request.rows for request in requests])[:-1]
    parts = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: pieces[index] for name, pieces in parts.items()} for index in range(len(requests))]

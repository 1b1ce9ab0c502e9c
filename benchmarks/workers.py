"""Contenders of a benchmark, each in a process of its own.

TensorFlow and PyTorch must not share a process: their threads wait for work by spinning, and so slow each other down.
Here a contender's process blocks on a pipe while another one runs.
"""

import contextlib
import dataclasses
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

TURN_SECONDS = 0.02  # far above the resolution of the clock, and short beside its drift
SGEMM_SIZE = 2048
SGEMM_FLOPS = 2 * SGEMM_SIZE**3

Prepared = tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]


@dataclasses.dataclass(frozen=True)
class Contender:
    """Something that can be timed.

    Attributes:
        prepare: From a case's arguments to a pair: `call()`, which is timed, and `results()`, which makes the same call
            and gives what came out as arrays that are the same for every contender. Imports its framework itself.
        framework: `"tensorflow"`, `"torch"` or `"numpy"`: what its process imports.
        about: A remark in addition to the framework's versions, or None.
    """

    prepare: Callable[[dict[str, Any]], Prepared]
    framework: str = "tensorflow"
    about: Callable[[], str] | None = None


class Worker:
    """A contender's process, seen from outside.

    Every method raises RuntimeError, with what the process said, if it fails or dies.
    """

    def __init__(self, name: str, command: Sequence[str], threads: int):
        """Starts it; it imports its framework meanwhile."""
        self._name = name
        # A framework's chatter would stand between the lines of the table; it is shown if the process dies.
        self._chatter = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [*command, "--serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._chatter,
            env=environment(threads),
        )

    def about(self) -> str:
        """Versions, and which of several implementations runs."""
        return self._ask("about")

    def prepare(self, arguments: dict[str, Any]) -> list[np.ndarray]:
        """Gets a case ready and runs it once; its results."""
        return self._ask("prepare", arguments)

    def release(self) -> None:
        """Frees the case's memory."""
        self._ask("release")

    def seconds(self) -> float:
        """Seconds a call takes, the mean of one turn."""
        return self._ask("seconds")

    def sgemm_seconds(self) -> float:
        """Seconds of one float32 product of 2048 x 2048 matrices, by the contender's framework."""
        return self._ask("sgemm_seconds")

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._chatter.close()

    def _ask(self, *question: Any) -> Any:
        try:
            pickle.dump(question, self._process.stdin)
            self._process.stdin.flush()
            failed, answer = pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError):
            status = self._process.wait()
            self._chatter.seek(0)
            last = self._chatter.read()[-4000:].decode(errors="replace")
            raise RuntimeError(f"{self._name} ended with status {status} in {question}:\n{last}") from None
        if failed:
            raise RuntimeError(f"{self._name} failed in {question}:\n{answer}")
        return answer


@contextlib.contextmanager
def started(names: Sequence[str], commands: dict[str, Sequence[str]], threads: int) -> Iterator[dict[str, Worker]]:
    """The processes of some contenders, started at once, ended with the context."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = Worker(name, commands[name], threads)
            stack.callback(workers[name].close)
        yield workers


def serve(contender: Contender) -> None:
    """Answers a `Worker`'s questions until it closes the pipe."""
    questions = sys.stdin.buffer
    # What a framework prints must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    server = _Server(contender)
    while True:
        try:
            name, *arguments = pickle.load(questions)
        except EOFError:
            return
        try:
            answer = (False, getattr(server, name)(*arguments))
        except Exception:
            answer = (True, traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


class _Server:
    """The same methods as `Worker`'s, in the contender's process."""

    def __init__(self, contender):
        self._contender = contender
        self._framework = importlib.import_module(contender.framework)
        self._call = None

    def about(self):
        parts = [f"{self._contender.framework} {self._framework.__version__}"]
        if self._contender.framework == "tensorflow":
            parts.append(f"keras {importlib.import_module('keras').__version__}")
        if self._contender.framework == "torch":
            parts.append(f"CPU capability {self._framework.backends.cpu.get_cpu_capability()}")
        if self._contender.about:
            parts.append(self._contender.about())
        return ", ".join(parts)

    def prepare(self, arguments):
        self._call, results = self._contender.prepare(arguments)
        answer = results()
        duration = _clocked(self._call, 1)
        self._calls = max(1, round(TURN_SECONDS / duration))
        return answer

    def release(self):
        self._call = None

    def seconds(self):
        if self._calls > 1:
            self._call()  # Wakes the threads and brings caches back; a long call does that on its way.
        return _clocked(self._call, self._calls)

    def sgemm_seconds(self):
        if not hasattr(self, "_sgemm"):
            matrix = np.random.default_rng(0).random((SGEMM_SIZE, SGEMM_SIZE), np.float32)
            multiply = np.matmul
            if self._contender.framework == "tensorflow":
                matrix, multiply = self._framework.constant(matrix), self._framework.matmul
            if self._contender.framework == "torch":
                matrix, multiply = self._framework.from_numpy(matrix), self._framework.matmul
            self._sgemm = lambda: multiply(matrix, matrix)
            self._sgemm()
        return _clocked(self._sgemm, 1)


def _clocked(call, count):
    # Once before, untimed: other processes had the caches since the last turn, and sleeping threads take time to wake.
    call()
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def environment(threads: int) -> dict[str, str]:
    """The environment of a process that computes with so many threads, whatever framework it uses."""
    number = str(threads)
    return {
        **os.environ,
        "TF_NUM_INTRAOP_THREADS": number,
        "TF_NUM_INTEROP_THREADS": number,
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "OPENBLAS_NUM_THREADS": number,
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def torch_python(given: str | None) -> str | None:
    """An interpreter with PyTorch: the one given, or this one; None if this one has none."""
    if given is not None:
        if shutil.which(given) is None:
            raise SystemExit(f"--torch-python must be an interpreter. Received: --torch-python {given}")
        return given
    return sys.executable if importlib.util.find_spec("torch") else None

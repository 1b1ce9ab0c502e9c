"""Contenders of a benchmark, each in a separate process.

TensorFlow and PyTorch must not share a process: their threads spin while they wait for work, which slows the others
down. Here a contender's process blocks on a pipe while another one runs.
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
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
        prepare: Function from a case's arguments to a pair: `call()`, which is timed, and `results()`, which makes the
            same call and returns its results as arrays, in the same form for every contender. It imports the framework.
        framework: Package that the contender's process imports: `"tensorflow"`, `"torch"` or `"numpy"`.
        about: Function that returns a remark to print after the framework's versions, or None.
    """

    prepare: Callable[[dict[str, Any]], Prepared]
    framework: str = "tensorflow"
    about: Callable[[], str] | None = None


class Worker:
    """Handle of a contender's process.

    Every method raises RuntimeError if it fails in the process, or the process dies; the message has the process's
    traceback or last output.
    """

    def __init__(self, name: str, command: Sequence[str], threads: int, isa: str | None = None):
        """Starts the process, without waiting until it has imported its framework."""
        self._name = name
        # The framework's messages would appear between the lines of the table. They are shown if the process dies.
        self._chatter = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [*command, "--serve", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._chatter,
            env=environment(threads, isa),
        )

    def about(self) -> str:
        """Returns the versions of the frameworks, and which implementation runs if there are several."""
        return self._ask("about")

    def prepare(self, arguments: dict[str, Any]) -> list[np.ndarray]:
        """Prepares a case, runs it once and returns its results."""
        return self._ask("prepare", arguments)

    def release(self) -> None:
        """Frees the case's memory."""
        self._ask("release")

    def seconds(self) -> float:
        """Returns the seconds of a call, the mean over one turn."""
        return self._ask("seconds")

    def crowd(self, clients: int, seconds: float) -> tuple[float, list[float]]:
        """Calls from several threads at once for some seconds.

        Args:
            clients: Number of threads; one of them is the thread that prepared the case.
            seconds: Seconds for which each thread calls again and again.

        Returns:
            The calls per second of all threads together, and the seconds of each call.
        """
        return self._ask("crowd", clients, seconds)

    def sgemm_seconds(self) -> float:
        """Returns the seconds that the contender's framework takes for a float32 product of 2048 x 2048 matrices."""
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
def started(
    names: Sequence[str], commands: dict[str, Sequence[str]], threads: int, isa: str | None = None
) -> Iterator[dict[str, Worker]]:
    """Context manager that starts the processes of some contenders at the same time, and ends them at its end."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = Worker(name, commands[name], threads, isa)
            stack.callback(workers[name].close)
        yield workers


def serve(contender: Contender) -> None:
    """Answers a `Worker`'s questions until it closes the pipe."""
    questions = sys.stdin.buffer
    # Output of a framework must not get between the answers.
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
    """The methods of `Worker` as they run in the contender's process."""

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

    def crowd(self, clients, seconds):
        return _crowded(self._call, clients, seconds)

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
    # One call first, untimed: other processes have filled the caches since the last turn, and sleeping threads take
    # time to wake.
    call()
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def _crowded(call, clients, seconds):
    together = threading.Barrier(clients)

    def client():
        call()  # PyTorch starts helpers for each thread that calls it.
        together.wait(timeout=60)  # without the timeout, one failed call would hold the others for ever
        start = before = time.perf_counter()
        latencies = []
        while before < start + seconds or not latencies:
            call()
            after = time.perf_counter()
            latencies.append(after - before)
            before = after
        return start, before, latencies

    # One client is this thread, for which PyTorch's OpenMP already has helpers. If another thread got helpers too,
    # there would be more threads than cores, and OpenMP would put them to sleep in each step of an LSTM.
    with ThreadPoolExecutor(clients) as pool:
        others = [pool.submit(client) for _ in range(clients - 1)]
        results = [client(), *(other.result() for other in others)]
    starts, ends, latencies = zip(*results, strict=True)
    flat = [latency for its in latencies for latency in its]
    return len(flat) / (max(ends) - min(starts)), flat


# For each instruction set of ours, the one that is next to it in oneDNN, MKL, XLA and PyTorch's own kernels.
LIMITS = {
    "avx512": ("AVX512_CORE", "AVX512", "AVX512", "avx512"),
    "avx2": ("AVX2", "AVX2", "AVX2", "avx2"),
    "portable": ("SSE41", "SSE4_2", "SSE4_2", "default"),
}


def environment(threads: int, isa: str | None = None) -> dict[str, str]:
    """Returns the environment of a process that computes with `threads` threads, whatever its framework.

    `isa` is the name of an instruction set that limits our kernels and those of all peers, as far as these can be
    limited: TensorFlow's Eigen is compiled for AVX and chooses nothing. None is no limit.
    """
    number = str(threads)
    limits = {}
    if isa is not None:
        onednn, mkl, xla, aten = LIMITS[isa]
        limits = {
            "IKELOS_ISA": isa,
            "ONEDNN_MAX_CPU_ISA": onednn,
            "MKL_ENABLE_INSTRUCTIONS": mkl,
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_max_isa={xla}".strip(),
            "ATEN_CPU_CAPABILITY": aten,
        }
    return {
        **os.environ,
        "TF_NUM_INTRAOP_THREADS": number,
        "TF_NUM_INTEROP_THREADS": number,
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "OPENBLAS_NUM_THREADS": number,
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **limits,
    }


def torch_python(given: str | None) -> str | None:
    """Returns the interpreter `given` for PyTorch, or this one if it has PyTorch, or else None."""
    if given is not None:
        if shutil.which(given) is None:
            raise SystemExit(f"--torch-python must be the path of an interpreter. Received: --torch-python {given}")
        return given
    return sys.executable if importlib.util.find_spec("torch") else None

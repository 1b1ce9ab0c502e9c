"""Describes the machine on which a figure was measured; without it, times mean nothing."""

import functools
import os
import pathlib
import platform
import resource
import statistics
import sys
import time

import psutil
import tensorflow as tf

_SIZE = 2048  # rows and columns; 17 GFLOP, a twentieth of a second on two fast cores
_REPEATS = 7
_SECONDS = 1.5  # a slow machine repeats less often


def describe() -> dict[str, str | int | float]:
    """Returns a description of the machine as JSON; the first call takes about a second."""
    return {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "device": _device(),
        "sgemm_gflops": sgemm_gflops(),
    }


@functools.cache
def sgemm_gflops() -> float:
    """Returns the median GFLOP/s of TensorFlow's float32 product of 2048 x 2048 matrices on the default device.

    It is measured once per process.
    """
    values = tf.random.stateless_uniform([_SIZE, _SIZE], seed=[0, 0])
    multiply = tf.function(lambda a, b: tf.linalg.matmul(a, b)[0, 0], autograph=False)
    float(multiply(values, values))  # warm-up: traces the function, starts the threads, touches the memory
    seconds: list[float] = []
    while len(seconds) < _REPEATS and sum(seconds) < _SECONDS:
        start = time.perf_counter()
        float(multiply(values, values))  # fetches one number, to wait for an asynchronous device
        seconds.append(time.perf_counter() - start)
    return 2 * _SIZE**3 / statistics.median(seconds) / 1e9


def cpu_model() -> str:
    """Returns the processor's name as reported by the system."""
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Returns the number of cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """Returns the peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _device() -> str:
    accelerators = tf.config.list_logical_devices("GPU")
    if not accelerators:
        return "CPU"
    physical = tf.config.list_physical_devices("GPU")[0]
    return tf.config.experimental.get_device_details(physical).get("device_name", "GPU")

"""The numbers of a deployment: what a server loads, batches, and may use."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Batching:
    """TensorFlow Serving's `BatchingParameters`, for all models of a server.

    The sizes of batches are those with which the models are warmed up (`Served.batch_sizes`).

    Attributes:
        batch_timeout_micros: Microseconds for which a request waits for others before it runs.
        num_batch_threads: Number of batches that run at once.
        max_enqueued_batches: Number of batches that may wait; further requests are refused.
        pad_variable_length_inputs: Whether inputs of different lengths are filled up with their first value to be
            merged. That is right only if every signature with such inputs ignores what is beyond the length of a row.

    Raises:
        ValueError: If a number is out of its range.
    """

    batch_timeout_micros: int
    num_batch_threads: int
    max_enqueued_batches: int
    pad_variable_length_inputs: bool

    def __post_init__(self):
        _check_at_least(self, 1, "num_batch_threads", "max_enqueued_batches")
        _check_at_least(self, 0, "batch_timeout_micros")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a server and its proxy.

    Attributes:
        versions: Number of the newest versions that are loaded, until a label names one.
        batching: How requests of several clients are merged into batches, None if they are not.
        cpus: Processors of each server.
        memory_gib: Memory of each server in GiB. While it switches versions, a server has both in memory.
        replicas: Number of servers in Kubernetes and KServe.
        max_replicas: Largest number of servers under load.
        cpu_percent: Load of the processors, in percent of `cpus`, above which servers are added.
        request_mib: Largest body of a REST request in MiB.
        timeout_seconds: Seconds after which a REST request fails.
        poll_seconds: Seconds between two looks for new versions and changed labels.

    Raises:
        ValueError: If a number is out of its range.
    """

    versions: int
    batching: Batching | None
    cpus: float
    memory_gib: float
    replicas: int
    max_replicas: int
    cpu_percent: int
    request_mib: int
    timeout_seconds: int
    poll_seconds: int

    def __post_init__(self):
        names = ("versions", "replicas", "cpu_percent", "request_mib", "timeout_seconds", "poll_seconds")
        _check_at_least(self, 1, *names)
        _check_at_least(self, self.replicas, "max_replicas")
        for name in ("cpus", "memory_gib"):
            # Less would be written as 0, which is no limit for Docker.
            if not getattr(self, name) >= 0.01:
                raise ValueError(f"`{name}` must be at least 0.01. Received: {name}={getattr(self, name)}")


def _check_at_least(settings: object, least: int, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value}")

"""Metrics for Prometheus. Those that TensorFlow Serving has too bear its names, so that its dashboards fit."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

from ikelos.serving.server.versions import State, Version

_LATENCY_BUCKETS = [1000 * ms for ms in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000)]
_ROW_BUCKETS = [2**power for power in range(11)]


class Metrics:
    """Counts of requests, latencies, rows of runs, versions, and the memory of the process.

    Args:
        versions: Returns all versions that the server knows.
    """

    def __init__(self, versions: Callable[[], Iterable[Version]]):
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ikelos:serving:request_count",
            "Requests by signature, entry point (REST, gRPC or page) and status.",
            ["model_name", "signature_name", "entrypoint", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Time of answered requests in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._rows = Histogram(
            "ikelos:serving:batch_rows",
            "Rows of a run of a model, of one request or of several that were merged.",
            ["model_name", "signature_name"],
            buckets=_ROW_BUCKETS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "ikelos:serving:requests_in_flight", "Requests that are running or waiting.", registry=self._registry
        )
        self._counts: dict[tuple[str, str], int] = {}
        self._versions = versions
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def answered(self, model: str, signature: str, entrypoint: str, status: str, seconds: float) -> None:
        """Notes an answered Predict request; `status` is the name of the code."""
        self._requests.labels(model, signature, entrypoint, status).inc()
        self._counts[model, status] = self._counts.get((model, status), 0) + 1
        if status == "OK":
            self._latency.labels(model, "Predict", entrypoint).observe(seconds * 1e6)

    def ran(self, version: Version, signature: str, rows: int) -> None:
        """Notes a run of a model."""
        self._rows.labels(version.name, signature).observe(rows)

    def collect(self) -> Iterable[Metric]:
        """Yields the metrics that are not kept but found when they are asked for; called by Prometheus's registry."""
        # Prometheus's own Counter would add `_total` to the name.
        count = Metric(":tensorflow:serving:request_count", "Requests by status.", "unknown")
        for (model, status), number in self._counts.items():
            count.add_sample(count.name, {"model_name": model, "status": status}, number)
        yield count
        loaded = Metric("ikelos:serving:version_available", "1 for each version that serves.", "gauge")
        for version in self._versions():
            if version.state is State.AVAILABLE:
                loaded.add_sample(loaded.name, {"model_name": version.name, "version": str(version.number)}, 1)
        yield loaded

    def page(self) -> bytes:
        """Returns the metrics in Prometheus's text format."""
        return generate_latest(self._registry)

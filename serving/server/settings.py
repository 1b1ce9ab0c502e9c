"""What a user can set of the server."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the server.

    Attributes:
        path: A run's folder, a model's base path, or a folder of such folders.
        library: Path of Ikelos's native library, which models of the flavour `native` need; None if there are none.
        host: Address to listen on.
        rest_port: Port of REST, the metrics and the page; 0 for any free one.
        grpc_port: Port of gRPC; 0 for any free one.
        poll: Seconds between two looks for new versions.
        labels: Number of the version by model and label; a labelled version is served besides the newest.
        max_batch: Most rows of several requests that one run may merge; 1 merges none.
        batch_delay: Seconds that a request waits for others to merge with. Without it, only requests that wait for a
            free thread anyway are merged.
        max_bytes: Most bytes of the body of a request.
        max_rows: Most rows of a request.
        max_requests: Most requests at once, running and waiting.
        concurrency: Most runs of models at once.
        timeout: Most seconds of a request.
        grace: Seconds that running requests have to finish when the server stops.
    """

    path: Path
    library: Path | None = None
    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    poll: float = 1.0
    labels: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    max_batch: int = 1
    batch_delay: float = 0.0
    max_bytes: int = 32 * 2**20
    max_rows: int = 1024
    max_requests: int = 128
    concurrency: int = dataclasses.field(default_factory=lambda: 2 * (os.cpu_count() or 1))
    timeout: float = 60.0
    grace: float = 30.0

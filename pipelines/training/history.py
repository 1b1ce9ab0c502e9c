"""The run as lines of JSON."""

import json
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class History:
    """Appends records to `history.jsonl`, each a dict with `"event"` ("step" or "epoch") and `"step"`.

    A run that goes back to a checkpoint first drops what it wrote after it, so each step stands there once.

    Attributes:
        records: What was kept from before, oldest first.
    """

    def __init__(self, path: Path, step: int, epochs: int):
        """Keeps the lines of up to `step` steps and `epochs` epochs."""
        self.records = [r for r in read(path) if r["step"] <= step and r.get("epoch", 0) <= epochs]
        fresh = path.with_suffix(".tmp")
        fresh.write_text("".join(json.dumps(record) + "\n" for record in self.records))
        os.replace(fresh, path)
        self._file = path.open("a")

    def append(self, record: Record) -> None:
        """Writes one line, whole."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read(path: Path) -> list[Record]:
    """The records of a `history.jsonl`, none if there is no such file.

    A last line that a kill left unfinished is skipped.
    """
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

"""The run as lines of JSON."""

import json
import os
from pathlib import Path
from typing import Any

from ikelos.serving import files

Record = dict[str, Any]

MODEL = "model"
"""Name of the optimizer that moves all weights of a model."""


def key(optimizer: str, what: str) -> str:
    """What is recorded of an optimizer, as a key of a record: `loss`, or `generator_loss` of one of several."""
    return what if optimizer == MODEL else f"{optimizer}_{what}"


class History:
    """Appends records to `history.jsonl`, each a dict with `"event"` ("step", "epoch" or "longer") and `"step"`.

    A run that goes back to a checkpoint first drops what it wrote after it, so each step stands there once.

    Attributes:
        records: What was kept from before, oldest first.
    """

    def __init__(self, path: Path, step: int, epochs: int):
        """Keeps the lines of up to `step` steps and `epochs` epochs."""
        self.records = [r for r in read(path) if r["step"] <= step and r.get("epoch", 0) <= epochs]
        files.write(path, "".join(json.dumps(record) + "\n" for record in self.records))
        self._file = path.open("a", encoding="utf-8")

    def append(self, record: Record) -> None:
        """Writes one line and brings it to the disk: a checkpoint that counts it must not outlive it."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read(path: Path) -> list[Record]:
    """The records of a `history.jsonl`, none if there is no such file.

    It ends before the first line that is cut short or damaged, as a kill or a power cut may leave the last ones.
    """
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            record = json.loads(line)
        except ValueError:  # not JSON, or not UTF-8
            break
        if not isinstance(record, dict) or not line.endswith(b"\n"):
            break
        records.append(record)
    return records
